"""The paths of the data directory, and which spools are in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apidanalytics import durable
from apidanalytics.layout.names import SpoolName


def _spools_in(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix == ".spool"]
    except FileNotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The tree below ``<local_storage_path><data_path>``."""

    root: Path

    @property
    def tmp(self) -> Path:
        """Open spools and half-made files."""
        return self.root / "tmp"

    @property
    def sealed(self) -> Path:
        """Spools that wait to be packed."""
        return self.root / "sealed"

    @property
    def recovered(self) -> Path:
        """Spools of processes that died, waiting to be packed."""
        return self.root / "recovered"

    def spools(self) -> Iterator[tuple[int, Path]]:
        """Yield number and path of every spool that is not packed: open, sealed or recovered.

        One that moves on meanwhile may come twice, or be gone. What has no spool's name is passed over; packing
        reports it.

        Raises:
            OSError: a directory cannot be listed, so nobody knows what is in it; one that is not there has none.

        """
        for directory in (self.tmp, self.sealed, self.recovered):
            for path in filter(durable.is_plain_file, _spools_in(directory)):
                try:
                    yield SpoolName.parse(path.name).number, path
                except ValueError:
                    continue

    @property
    def staging(self) -> Path:
        """Files ready to upload."""
        return self.root / "staging"

    @property
    def failed(self) -> Path:
        """Files whose upload was given up for now."""
        return self.root / "failed"

    @property
    def damaged(self) -> Path:
        """What could not be read, with the reason beside it."""
        return self.root / "damaged"

    @property
    def keys(self) -> Path:
        """The index of idempotency keys, and the locks of the workers that use it."""
        return self.root / "keys"

    @property
    def ledger(self) -> Path:
        """History and totals."""
        return self.root / "ledger.db"

    @property
    def control(self) -> Path:
        """The socket for commands."""
        return self.root / "control.sock"

    @property
    def lock(self) -> Path:
        """Held by the one agent that owns this directory."""
        return self.root / "agent.lock"

    def create(self) -> None:
        """Make every directory that is missing, for good, and all of them private to this user.

        Raises:
            OSError: one of those within is a link, which could lead what is kept anywhere.

        """
        durable.make_directories(self.root)
        durable.make_private(self.root)
        spools = self.tmp, self.sealed, self.recovered
        for path in (*spools, self.staging, self.failed, self.damaged, self.keys):
            durable.make_private_directory(path)
            durable.make_private(path)
        durable.sync_directory(self.root)
