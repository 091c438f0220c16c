"""The oracle over any traffic: it accepts every correct lake, and no lake with one byte, line or file wrong."""

import json
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apidanalytics.demo import expect, lake
from apidanalytics.demo.check import Oracle
from tests.unit.demo import cast

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "client_id": st.sampled_from(["k1", "k2", "stranger", "", None]),
        "organization": st.sampled_from(["acme", "other", "", None]),
        "environment": st.sampled_from(["prod", None]),
        "developer": st.sampled_from(["me", None]),
    },
)
MEMBERS = st.builds(lambda some, known: some | known, st.dictionaries(st.text(max_size=5), VALUES, max_size=2), KNOWN)
VERDICTS = st.sampled_from(["acknowledged", "refused", "unknown and there", "unknown and gone"])
BATCHES = st.lists(
    st.tuples(st.sampled_from(cast.ACCOUNTS), VERDICTS, st.lists(MEMBERS, min_size=1, max_size=3)),
    min_size=1,
    max_size=5,
)


def encode(value, *, ensure_ascii=False) -> bytes:
    """Return JSON without white space; lone surrogates, which UTF-8 cannot hold, always escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=ensure_ascii)
    return text.encode(errors="surrogatepass" if ensure_ascii else "strict")


@given(value=VALUES, indent=st.integers(0, 3))
def test_white_space_is_all_that_compacting_takes(value, indent):
    spaced = json.dumps(value, indent=indent, separators=(" ,", " : ")).encode()
    assert expect.compact(spaced) == encode(value, ensure_ascii=True)


@given(value=st.dictionaries(st.text(), VALUES))
def test_the_members_of_an_object_are_its_text_cut_up(value):
    text = encode(value, ensure_ascii=True)
    members = expect.members(text)
    assert b"{" + b",".join(encode(n, ensure_ascii=True) + b":" + v.encode() for n, v in members) + b"}" == text


class Play:
    """Some batches, their verdicts, and the lines that a correct service delivers."""

    def __init__(self, batches):
        self.oracle = Oracle(cast.ACCOUNTS)
        self.lines = []
        number = 0
        for account, verdict, contents in batches:
            records = []
            for content in contents:
                number += 1
                records.append(encode({"gateway_flow_id": f"id-{number}"} | content, ensure_ascii=True))
            batch = self.oracle.sent(account.name, records)
            if verdict == "acknowledged":
                self.oracle.acknowledged(batch)
            if verdict == "refused":
                self.oracle.refused(batch)
            if verdict in {"acknowledged", "unknown and there"}:
                self.lines += [(account, self.deliver(record, account)) for record in records]

    @staticmethod
    def deliver(record, account):
        added = expect.additions(record, account)
        return record[:-1] + b"".join(b",%s:%s" % (encode(name), encode(value)) for name, value in added.items()) + b"}"

    def judge(self, lines):
        with tempfile.TemporaryDirectory() as directory:
            for account in cast.ACCOUNTS:
                own = [line for other, line in lines if other is account]
                cast.put(Path(directory), account.name, own[::2], n=1)
                cast.put(Path(directory), account.name, own[1::2], n=2)
            return self.oracle.compare(lake.files(Path(directory)))


@settings(deadline=None, max_examples=60)
@given(batches=BATCHES, random=st.randoms())
def test_a_correct_lake_always_holds(batches, random):
    play = Play(batches)
    random.shuffle(play.lines)
    report = play.judge(play.lines)
    assert report.examples == ()
    assert report.total().delivered == report.total().accepted
    assert report.holds == any(verdict == "acknowledged" for _, verdict, _ in batches)


@settings(deadline=None, max_examples=60)
@given(batches=BATCHES, data=st.data())
def test_a_lake_with_one_mistake_never_holds(batches, data):
    play = Play([(cast.ACME, "acknowledged", [{"client_id": "k1"}]), *batches])
    at = data.draw(st.integers(0, len(play.lines) - 1))
    account, line = play.lines[at]
    mistake = data.draw(st.sampled_from(["double", "elsewhere", "byte"]))
    if mistake == "double":
        play.lines.append((account, line))
    elif mistake == "elsewhere":
        play.lines[at] = (cast.GLOBEX if account is cast.ACME else cast.ACME, line)
    else:
        position = data.draw(st.integers(0, len(line) - 1))
        byte = data.draw(st.binary(min_size=1, max_size=1))
        changed = line[:position] + byte + line[position + 1 :]
        assume(expect.compact(changed) != line)
        assume(byte != b"\n")
        play.lines[at] = (account, changed)
    assert not play.judge(play.lines).holds


@settings(deadline=None, max_examples=60)
@given(batches=BATCHES)
def test_a_lost_line_is_found_unless_nobody_knows_of_its_whole_batch(batches):
    play = Play([*batches, (cast.ACME, "acknowledged", [{}])])
    assert not play.judge(play.lines[:-1]).holds
