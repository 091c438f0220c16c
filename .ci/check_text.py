"""Fail when a file of the repository holds what must not be published.

That is: addresses of package registries, absolute paths of somebody's machine, private keys, and conflict marks.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SELF = Path(__file__).relative_to(ROOT)

FORBIDDEN = {
    "address of a package registry": re.compile(
        r"--(extra-)?index-url|--find-links|[\w.-]*(pypi|pythonhosted|npmjs)\.(org|com|io)", re.IGNORECASE
    ),
    "path of one machine": re.compile(r"(?<![\w./~-])/(work|root|home/\w+|Users/\w+)/\w"),
    "private key": re.compile(r"^-----BEGIN [A-Z ]*PRIVATE KEY-----$"),
    "conflict mark": re.compile(r"^(<{7}|>{7}) "),
}


def files() -> Iterator[Path]:
    """Yield every file that is, or would be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    yield from (Path(name) for name in listing.split("\0") if name and Path(name) != SELF)


def findings(path: Path) -> Iterator[str]:
    """Yield one line of text for each forbidden thing in a file; a binary file has none."""
    try:
        text = (ROOT / path).read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{path}:{number}: {what}: {line.strip()[:120]}"


def main() -> int:
    """Print every finding; return 1 when there is one."""
    found = [finding for path in files() for finding in findings(path)]
    print("\n".join(found) or "No forbidden text.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
