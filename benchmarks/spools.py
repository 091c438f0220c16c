"""Spools written directly, without a service: what packing and starting are measured on."""

from apidanalytics.layout import DataDirectory, format_tenant
from apidanalytics.model import SpoolHeader
from apidanalytics.spool.file import OpenSpool
from apidanalytics.spool.frame import Share
from benchmarks import scopes, traffic

START_AT = 1_795_310_000
SPOOL_BYTES = 256 << 20
TENANTS = 300


def write_sealed(data: DataDirectory, megabytes: int) -> int:
    """Write one sealed spool of 100-record batches of three tenants; return the length of its lines."""
    pieces = [traffic.lines(100, seed) for seed in range(20)]
    spool = _create(data)
    size = number = 0
    while size < megabytes * 1e6:
        shares = [_share(tenant, pieces[(number + tenant) % len(pieces)], 100) for tenant in range(3)]
        spool.append(shares)
        size += sum(len(share.lines) for share in shares)
        number += 1
    spool.seal(data)
    return size


def write_left_behind(data: DataDirectory, megabytes: int) -> int:
    """Write open spools of this length on disk, as dead workers leave them; return how many records they hold.

    They hold single posts of many tenants, so hardly anything of them is compressed.
    """
    records = 4
    shares = [_share(tenant, traffic.lines(records, tenant), records) for tenant in range(TENANTS)]
    left, total = megabytes * 1e6, 0
    while left > 0:
        spool = _create(data)
        while spool.end < min(SPOOL_BYTES, left):
            spool.append(shares)
            total += records * len(shares)
        left -= spool.end
        spool.close()
    return total


def _share(number: int, lines: bytes, records: int) -> Share:
    tenant = format_tenant(scopes.org(number), traffic.ENV)
    return Share(tenant=tenant, start_at=START_AT, records=records, lines=lines)


def _create(data: DataDirectory) -> OpenSpool:
    return OpenSpool.create(data, _header, sync=_leave_it_to_the_kernel)


def _header(number: int) -> SpoolHeader:
    return SpoolHeader(
        number=number, interval_seconds=120, max_file_bytes=512 << 20, instance_id="bench", created_at=START_AT
    )


def _leave_it_to_the_kernel(descriptor: int) -> None:
    """Sync nothing: what is measured starts later."""
