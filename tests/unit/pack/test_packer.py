"""A spool becomes staged files: all that can be read of it, under names that follow from the spool alone."""

import gzip
import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apidanalytics import layout
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import FileName
from apidanalytics.model import Damage
from apidanalytics.pack import packer as packer_module
from apidanalytics.pack.compress import describe
from apidanalytics.pack.packer import Outcome
from tests.unit.pack.fakes import ACME, GLOBEX, NUMBER, START_AT, FakeSpool, header, lines


def two_tenants():
    return FakeSpool().add(ACME, lines(1, 2)).add(GLOBEX, lines(3)).add(ACME, lines(4))


def by_tenant(bench):
    found = {}
    for name, content in bench.staged().items():
        tenant = "~".join(name.split("~")[:2])
        found.setdefault(tenant, []).append(content)
    return found


def test_each_tenant_and_start_gets_its_own_file_in_the_order_of_commit(bench):
    spool = two_tenants().add(ACME, lines(5), START_AT + 120)
    packed = bench.pack(spool)
    assert by_tenant(bench) == {ACME: [lines(1, 2, 4), lines(5)], GLOBEX: [lines(3)]}
    assert packed.outcome is Outcome.PACKED
    assert (packed.staged.files, packed.staged.records, packed.staged.bytes) == (3, 5, len(lines(1, 2, 3, 4, 5)))


def test_the_ledger_knows_accepted_staged_and_packed_and_then_the_spool_is_gone(bench, data, ledger):
    bench.pack(two_tenants())
    assert ledger.counts == {NUMBER: {ACME: (3, len(lines(1, 2, 4))), GLOBEX: (1, len(lines(3)))}}
    assert {(file.tenant, file.records) for file in ledger.files.values()} == {(ACME, 3), (GLOBEX, 1)}
    assert ledger.is_packed(NUMBER)
    assert list(data.sealed.iterdir()) == list(data.tmp.iterdir()) == []


def test_what_the_ledger_is_told_of_a_file_is_true(bench, data, ledger):
    bench.pack(two_tenants())
    for file in ledger.files.values():
        path = data.staging / file.directory / file.name
        content = gzip.decompress(path.read_bytes())
        assert (file.size_bytes, file.bytes) == (path.stat().st_size, len(content))
        assert file.records == content.count(b"\n")
        found = describe(path)
        assert (file.sha256, file.md5, file.xxh3) == (found.sha256, found.md5, found.xxh3)


def test_packing_the_same_spool_again_with_a_lost_ledger_gives_the_same_files(bench, ledger):
    bench.pack(two_tenants())
    before, known = bench.staged(), dict(ledger.files)
    ledger.files.clear()
    ledger.packed_spools.clear()
    bench.pack(two_tenants())
    assert (bench.staged(), ledger.files) == (before, known)


def test_a_file_that_the_ledger_knows_is_not_made_again_and_the_other_keeps_its_name(bench, data, ledger):
    bench.pack(two_tenants())
    names = set(bench.staged())
    uploaded, kept = sorted(ledger.files)
    (data.staging / uploaded[0] / uploaded[1]).unlink()
    (data.staging / kept[0] / kept[1]).unlink()
    del ledger.files[kept]
    ledger.packed_spools.clear()
    spool = two_tenants()
    packed = bench.pack(spool)
    assert packed.staged.files == 1
    assert set(bench.staged()) == {f"{kept[0]}/{kept[1]}"} < names
    assert spool.reads == 1


def test_a_spool_seen_again_after_it_was_packed_is_just_removed(bench, data):
    for recovered in (None, None, "20231114222000.123"):
        outcome = bench.pack(two_tenants(), recovered=recovered).outcome
    assert outcome is Outcome.REMOVED
    assert len(bench.staged()) == 2
    assert [*data.sealed.iterdir(), *data.recovered.iterdir(), *data.damaged.iterdir()] == []


def test_a_spool_of_which_a_shorter_copy_was_packed_before_is_kept(bench, data, ledger):
    bench.pack(FakeSpool().add(ACME, lines(1, 2)), recovered="20231114222000.123")
    assert bench.pack(two_tenants()).outcome is Outcome.SET_ASIDE
    assert len(bench.staged()) == 1, "what is delivered already stands in it too"
    assert (data.damaged / f"{NUMBER:012x}.spool").exists()
    assert list(ledger.aside.values()) == [("", 0, len(lines(3, 4)))]


def test_a_recovered_spool_marks_its_files_with_the_time_in_its_name(bench):
    bench.pack(two_tenants(), recovered="20231114222000.123")
    assert all("~recoveredTS~20231114222000.123/" in name for name in bench.staged())
    assert all(name.endswith("_recovered_20231114222000.123.txt.gz") for name in bench.staged())


def test_parts_are_cut_by_the_size_in_the_header_and_hold_everything_once(bench):
    spool = FakeSpool(header=header(max_file_bytes=20))
    for n in range(10):
        spool.add(ACME, lines(n))
    bench.pack(spool)
    contents = list(bench.staged().values())
    assert len(contents) == 5
    assert sorted(b"".join(contents).splitlines(True)) == sorted(lines(*range(10)).splitlines(True))


def test_an_empty_spool_is_removed_without_a_word_to_the_ledger(bench, data, ledger):
    packed = bench.pack(FakeSpool(torn_bytes=17))
    assert (packed.outcome, packed.torn_bytes) == (Outcome.REMOVED, 17)
    assert ledger.events == []
    assert list(data.sealed.iterdir()) == []


def test_a_spool_from_which_all_was_cut_off_after_it_was_counted_is_given_up(bench, ledger):
    ledger.accepted(NUMBER, {ACME: (3, 30)})
    assert bench.pack(FakeSpool(lacks_end=True)).outcome is Outcome.REMOVED
    assert ledger.given_up_spools == {NUMBER}


def test_a_torn_end_is_reported_with_its_length_and_nothing_is_set_aside(bench, data):
    spool = two_tenants()
    spool.torn_bytes = 321
    with capture_logs() as logs:
        assert bench.pack(spool, recovered="20231114222000.123").torn_bytes == 321
    torn = [entry for entry in logs if entry["event"] == "pack.torn"]
    assert [(entry["bytes"], entry["log_level"]) for entry in torn] == [(321, "info")]
    assert list(data.damaged.iterdir()) == []


def test_of_a_sealed_spool_with_a_torn_end_a_copy_is_kept_because_it_was_whole_when_it_was_sealed(bench, data, ledger):
    spool = two_tenants()
    spool.torn_bytes = 321
    packed = bench.pack(spool)
    assert (packed.outcome, packed.torn_bytes) == (Outcome.PACKED, 321)
    assert bench.staged()
    (reason,) = data.damaged.glob("*.reason.json")
    assert json.loads(reason.read_text())["bytes"] == 321
    assert list(ledger.aside.values()) == [("", 0, 321)]


def test_of_a_sealed_spool_without_its_end_a_copy_is_kept_even_when_nothing_is_left_in_it(bench, data, ledger):
    outcomes = []
    for number, spool in enumerate((two_tenants(), FakeSpool()), NUMBER):
        spool.header, spool.lacks_end = header(number), True
        outcomes.append(bench.pack(spool, number=number).outcome)
    assert outcomes == [Outcome.PACKED, Outcome.REMOVED]
    assert len(bench.staged()) == 2
    assert len(list(data.damaged.glob("*.spool"))) == 2
    assert [reason for _, reason in ledger.aside] == [packer_module._CUT_OFF] * 2


def test_a_spool_of_a_process_that_died_need_have_no_end(bench, data):
    spool = two_tenants()
    spool.lacks_end = True
    bench.pack(spool, recovered="20231114222000.123")
    assert list(data.damaged.iterdir()) == []


def test_of_a_damaged_spool_a_copy_is_kept_and_what_is_good_is_delivered(bench, data, ledger):
    spool = two_tenants()
    spool.damage = [Damage(offset=100, length=40, reason="checksum does not match")]
    packed = bench.pack(spool)
    assert packed.damaged_bytes == 40
    assert by_tenant(bench) == {ACME: [lines(1, 2, 4)], GLOBEX: [lines(3)]}
    name = f"{NUMBER:012x}.spool"
    assert (data.damaged / name).read_bytes() == b"the content is in memory"
    reason = json.loads((data.damaged / f"{name}.reason.json").read_text())
    assert reason["damage"] == [{"offset": 100, "length": 40, "reason": "checksum does not match"}]
    assert list(ledger.aside.values()) == [("", 0, 40)]


def test_a_spool_of_nothing_but_damage_is_kept_too(bench, data):
    packed = bench.pack(FakeSpool(damage=[Damage(offset=9, length=4, reason="checksum")]))
    assert (packed.outcome, packed.damaged_bytes) == (Outcome.PACKED, 4)
    assert (data.damaged / f"{NUMBER:012x}.spool").exists()


def test_an_entry_that_cannot_be_read_any_more_is_counted_for_its_tenant_and_the_rest_is_delivered(bench, ledger):
    spool = two_tenants()
    spool.unreadable = {0}
    bench.pack(spool)
    assert by_tenant(bench) == {ACME: [lines(4)], GLOBEX: [lines(3)]}
    assert [amount for amount in ledger.aside.values() if amount[0]] == [(ACME, 2, len(lines(1, 2)))]
    staged = {file.tenant: (file.records, file.bytes) for file in ledger.files.values()}
    assert staged[ACME] == (1, len(lines(4)))


def test_what_a_run_that_was_killed_could_not_read_is_counted_and_kept_by_the_next_one(bench, data, ledger):
    for _ in range(2):
        spool = two_tenants()
        spool.unreadable = {0}
        bench.pack(spool)
        kept, counted = [path.name for path in data.damaged.iterdir()], dict(ledger.aside)
        # As if it had been killed after its files were in the ledger, and before anything else was.
        for path in data.damaged.iterdir():
            path.unlink()
        ledger.aside.clear()
        ledger.packed_spools.clear()
    assert f"{NUMBER:012x}.spool" in kept
    assert [amount for amount in counted.values() if amount[0]] == [(ACME, 2, len(lines(1, 2)))]
    assert spool.reads == 2, "only the file with too few records was read again"


def test_a_file_of_which_nothing_can_be_read_is_not_made(bench, data):
    spool = two_tenants()
    spool.unreadable = {1}
    bench.pack(spool)
    assert by_tenant(bench) == {ACME: [lines(1, 2, 4)]}
    assert list(data.tmp.iterdir()) == []


def test_a_spool_with_a_damaged_header_is_packed_with_what_it_falls_back_to(bench):
    spool = two_tenants()
    spool.header = None
    spool.damage = [Damage(offset=0, length=80, reason="checksum does not match")]
    bench.pack(spool)
    for name in bench.staged():
        parsed = FileName.parse(name.split("/")[1])
        assert parsed.instance_id == "fallback"
        assert parsed.n // layout.FILES_PER_SPOOL == NUMBER


def test_a_spool_with_the_header_of_another_is_set_aside(bench, data):
    spool = two_tenants()
    spool.header = header(NUMBER + 1)
    assert bench.pack(spool).outcome is Outcome.SET_ASIDE
    assert bench.staged() == {}
    assert spool.is_closed
    assert (data.damaged / f"{NUMBER:012x}.spool").exists()


def test_what_is_no_spool_at_all_is_set_aside_and_counted_in_bytes(bench, data, ledger):
    packed = bench.pack(DamagedError("no readable frame"))
    assert packed.outcome is Outcome.SET_ASIDE
    assert list(data.sealed.iterdir()) == []
    name = f"{NUMBER:012x}.spool"
    assert ledger.aside == {(name, "no readable frame"): ("", 0, len(b"the content is in memory"))}
    assert ledger.given_up_spools == {NUMBER}
    assert (data.damaged / name).exists()


def test_a_newer_format_is_left_alone_reported_once_and_not_opened_again(bench, data):
    path = bench.seal(NewerFormatError("format 2"))
    with capture_logs() as logs:
        assert [bench.packer.pack(path).outcome for _ in range(3)] == [Outcome.LEFT_ALONE] * 3
    assert [entry["event"] for entry in logs] == ["pack.newer_format"]
    assert bench.opened == [path.name]
    assert list(data.sealed.iterdir()) == [path]


def test_a_full_disk_leaves_the_spool_and_no_half_made_file_and_packing_again_ends_well(bench, data, monkeypatch):
    path = bench.seal(two_tenants())
    with monkeypatch.context() as patched:
        patched.setattr("apidanalytics.pack.stager.write_gzip", refuse)
        with pytest.raises(OSError, match="No space left"):
            bench.packer.pack(path)
    assert path.exists()
    assert list(data.tmp.iterdir()) == []
    bench.packer.pack(path)
    assert by_tenant(bench) == {ACME: [lines(1, 2, 4)], GLOBEX: [lines(3)]}


def refuse(path, _pieces):
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_crash_between_link_and_unlink_does_no_harm_to_the_published_file(bench, data, ledger):
    bench.pack(two_tenants())
    before = bench.staged()
    for directory, name in ledger.files:
        os.link(data.staging / directory / name, data.tmp / f"{name}.part")
    ledger.files.clear()
    ledger.packed_spools.clear()
    bench.pack(two_tenants())
    assert bench.staged() == before
    assert list(data.tmp.iterdir()) == []


def test_many_files_are_published_in_groups(bench, ledger, monkeypatch):
    monkeypatch.setattr(packer_module, "GROUP_FILES", 4)
    spool = FakeSpool()
    for n in range(10):
        spool.add(f"org{n}~prod", lines(n))
    assert bench.pack(spool).staged.files == 10
    assert ledger.events == [("stage", 4), ("stage", 4), ("stage", 2), ("packed", NUMBER)]


def test_a_name_that_is_no_spools_is_refused(bench, data):
    with pytest.raises(ValueError, match="not a spool"):
        bench.packer.pack(data.sealed / "notes.txt")


def test_what_was_done_is_one_line_in_the_log(bench):
    with capture_logs() as logs:
        bench.pack(two_tenants())
    (entry,) = logs
    assert entry == {
        "event": "pack.packed",
        "log_level": "info",
        "spool": f"{NUMBER:012x}.spool",
        "files": 2,
        "records": 4,
        "bytes": len(lines(1, 2, 3, 4)),
    }


@pytest.mark.parametrize("recovered", [None, "20231114222000.123"])
def test_a_spool_is_synced_before_it_is_read_so_that_no_power_cut_can_change_it_later(bench, monkeypatch, recovered):
    path = bench.seal(two_tenants(), recovered=recovered)
    events = []
    fsync = os.fsync

    def noting(descriptor):
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    bench.packer._open_spool = lambda opened: events.append("opened") or bench.open(opened)
    bench.packer.pack(path)
    assert events[:4] == [path.name, path.parent.name, "tmp", "opened"]


def test_the_spool_goes_only_after_the_ledger_knows_that_it_is_packed(bench, ledger, monkeypatch):
    path = bench.seal(two_tenants())
    monkeypatch.setattr(ledger, "packed", refuse_ledger)
    with pytest.raises(OSError, match="ledger"):
        bench.packer.pack(path)
    assert path.exists()


def refuse_ledger(_number, _at):
    raise OSError(5, "ledger")
