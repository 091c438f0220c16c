"""What the pages point at exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_PATH = re.compile(r"`((?:tests|src|docs|benchmarks|examples|deploy)/[\w./-]+)`")
_MODULE = re.compile(r"`((?!tests/|src/|benchmarks/|deploy/)[a-z_]+/[a-z_]+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_on_a_page_leads_somewhere(page):
    text = page.read_text()
    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    missing += [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    missing += [path for path in _MODULE.findall(text) if not (ROOT / "src/apidanalytics" / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_part_of_a_page_stands_on_it_twice(page):
    long_lines = [line for line in page.read_text().splitlines() if len(line) > 100 and not line.startswith("|")]
    assert sorted(long_lines) == sorted(set(long_lines))


def test_the_readme_leads_to_every_page_of_the_documentation():
    readme = (ROOT / "README.md").read_text()
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    lost = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in readme + architecture]
    assert not lost
