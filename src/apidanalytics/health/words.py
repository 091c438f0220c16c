"""Numbers as people say them in a sentence."""


def how_long(seconds: float) -> str:
    """Return a duration in one or two words: ``40 seconds``, ``12 minutes``, ``3 hours``, ``2 days``."""
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"{round(seconds / length)} {name}s"
        if seconds >= length:
            return f"1 {name}"
    whole = max(round(seconds), 0)
    return "1 second" if whole == 1 else f"{whole} seconds"


def how_much(size_bytes: float) -> str:
    """Return a size: ``512 bytes``, ``1.5 MiB``, ``40 GiB``."""
    for name in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {name}" if size_bytes >= 10 or name == "bytes" else f"{size_bytes:.1f} {name}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def how_many(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 file``, ``12,000 files``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def listed(names: list[str], most: int = 3) -> str:
    """Return names as part of a sentence: ``a, b and 5 more``."""
    shown = names[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
