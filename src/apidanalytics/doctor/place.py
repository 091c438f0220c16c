"""The data directory and the disk below it: whose, how much room, how fast, and of which kind."""

import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, ok, problem, skipped
from apidanalytics.health.words import how_much
from apidanalytics.layout import DataDirectory

SLOW_SYNC_SECONDS: Final = 0.1
_SYNCS: Final = 5
_SHOWN: Final = 5
_OTHERS: Final = 0o077
_LEAST_INODES: Final = 10_000
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "lustre"})
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})


def directories(patient: Patient) -> Iterator[Result]:
    """Yield whether every directory is there, private, and ours to write."""
    data = patient.settings.data
    if not data.root.is_dir():
        yield from _not_yet(data.root)
        return
    wrong = [text for path in _tree(data) if (text := _what_is_wrong(path))]
    wrong += _of_somebody_else(patient)
    if wrong:
        storage = patient.settings.local_storage_path
        advice = f"chown -R the service's user {storage}, and chmod 700 each directory of {data.root}."
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield problem("directories", f"{'; '.join(wrong[:_SHOWN])}{more}.", advice)
    else:
        yield ok("directories", f"{data.root} and all below it are there, private, and can be written.")


def disk(patient: Patient) -> Iterator[Result]:
    """Yield how much room there is, on what, and what a sync takes."""
    root = _existing(patient.settings.data.root)
    yield _room(patient, root)
    yield _inodes(root)
    yield _kind(patient.settings.data, root)
    if os.access(root, os.W_OK):
        yield _sync(root)
    else:
        yield skipped("sync", f"What a sync takes: {root} cannot be written.")


def clock(patient: Patient) -> Iterator[Result]:
    """Yield whether anything in the data directory is from the future; the endpoint's clock is compared later."""
    data = patient.settings.data
    newest = max(
        (path.stat().st_mtime for path in (data.sealed, data.staging, data.ledger) if path.exists()), default=0
    )
    ahead = newest - time.time()
    if ahead > 60:
        text = f"The newest of what is stored was written {ahead:.0f} s in the future: the clock was set back."
        yield problem("clock", text, "Set the clock, and keep it with chrony or systemd-timesyncd (`timedatectl`).")
    else:
        yield ok("clock", "Nothing that is stored is from the future.")


def _not_yet(root: Path) -> Iterator[Result]:
    parent = _existing(root)
    if os.access(parent, os.W_OK | os.X_OK):
        yield ok("directories", f"{root} is not there yet; it can be made in {parent}.")
    else:
        advice = f"install -d -m 0700 -o the service's user {root.parent}, or set local_storage_path."
        yield problem("directories", f"{root} is not there, and this user cannot make it in {parent}.", advice)


def _tree(data: DataDirectory) -> Iterator[Path]:
    yield data.root
    yield from (data.tmp, data.sealed, data.recovered, data.staging, data.failed, data.damaged, data.keys)


def _what_is_wrong(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"{path} is missing (a start makes it)"
    except PermissionError:
        return f"{path} cannot be looked at"
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is no directory"
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        return f"{path} has mode {stat.S_IMODE(found.st_mode):o}: others can read it"
    return "" if os.access(path, os.R_OK | os.W_OK | os.X_OK) else f"{path} cannot be written by this user"


def _of_somebody_else(patient: Patient) -> Iterator[str]:
    """Yield what has another owner than the data directory: after a trial run as root its service cannot use it."""
    storage, data = patient.settings.local_storage_path, patient.settings.data
    owner = data.root.stat().st_uid
    for path in (*_tree(data), data.ledger, data.lock, *_below(storage / "scopes"), *_below(data.tmp)):
        try:
            found = path.lstat().st_uid
        except FileNotFoundError:
            continue
        if found != owner:
            yield f"{path} belongs to {_name(found)}, and {data.root} to {_name(owner)}"


def _below(directory: Path) -> Iterator[Path]:
    yield directory
    with suppress(FileNotFoundError):
        yield from directory.iterdir()


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _existing(path: Path) -> Path:
    """Return the path, or the nearest above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _room(patient: Patient, root: Path) -> Result:
    found = os.statvfs(root)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    least = patient.settings.min_free_disk_bytes
    text = f"{how_much(free)} of {how_much(total)} are free on the disk of {root}"
    if free < least:
        advice = "Make room, or take a larger disk; docs/operations.md, Full disk. Until then clients get 503."
        return problem("disk", f"{text}: less than apidanalytics_min_free_disk_bytes ({how_much(least)}).", advice)
    if free < total / 10:
        advice = "Make room before it fills up: docs/operations.md, Sizing, says how long it lasts."
        return problem("disk", f"{text}: less than a tenth.", advice)
    return ok("disk", f"{text}.")


def _inodes(root: Path) -> Result:
    found = os.statvfs(root)
    if found.f_files and found.f_favail < _LEAST_INODES:
        text = f"Only {found.f_favail:,} inodes are left on the disk of {root}, and each waiting file takes one."
        return problem("inodes", text, "Delete small files there, or make a file system with more inodes.")
    return ok("inodes", "There are inodes enough.")


def _kind(data: DataDirectory, root: Path) -> Result:
    mount, kind = _mount_of(root)
    if _takes_case_for_the_same(data.staging):
        text = f"{mount} does not tell upper from lower case: tenants whose names differ in nothing else are mixed up."
        return problem("file system", text, "Put local_storage_path on a file system that does (ext4, xfs).")
    if kind in _NETWORK:
        text = f"{mount} is a network file system ({kind}): its locks and syncs may not mean what they say."
        return problem("file system", text, "Put local_storage_path on a local disk.")
    if kind in _VOLATILE:
        text = f"{mount} is in memory ({kind}): what is accepted is gone after a restart of the machine."
        return problem("file system", text, "Put local_storage_path on a disk.")
    return ok("file system", f"{mount} is a local file system ({kind or 'unknown kind'}).")


def _takes_case_for_the_same(directory: Path) -> bool:
    with suppress(OSError):
        return directory.with_name(directory.name.swapcase()).samefile(directory)
    return False


def _mount_of(path: Path) -> tuple[str, str]:
    """Return mount point and kind of the file system that a path is on.

    The kernel's number of the mount tells, not the device: a container has its volume, its resolv.conf and more from
    one and the same.
    """
    descriptor = os.open(path, os.O_PATH)
    try:
        about = Path(f"/proc/self/fdinfo/{descriptor}").read_text().split()
    finally:
        os.close(descriptor)
    number = about[about.index("mnt_id:") + 1]
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        fields = line.split()
        if fields[0] == number:
            return fields[4].replace("\\040", " "), fields[fields.index("-") + 1]
    return str(path), ""


def _sync(root: Path) -> Result:
    probe = root / f".doctor-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            took = sorted(_one_sync(descriptor) for _ in range(_SYNCS))[_SYNCS // 2]
        finally:
            os.close(descriptor)
            probe.unlink(missing_ok=True)
    except OSError as error:
        advice = "Look at the disk: `dmesg`, `df -h`, and whether it is mounted read-only."
        return problem("sync", f"{root} cannot be written: {error.strerror}.", advice)
    if took > SLOW_SYNC_SECONDS:
        advice = "Take a faster disk, or raise apidanalytics_commit_linger so that a sync serves more batches."
        return problem("sync", f"A sync takes {took * 1000:.0f} ms, and every batch waits for one.", advice)
    return ok("sync", f"A sync takes {took * 1000:.1f} ms.")


def _one_sync(descriptor: int) -> float:
    began = time.perf_counter()
    os.write(descriptor, b"\0" * 4096)
    os.fsync(descriptor)
    return time.perf_counter() - began
