"""docs/collection.md and the tables of keys say the same, and the examples of both pages are right."""

import re
from pathlib import Path

import pytest

from apidanalytics.collection import keys
from apidanalytics.collection.settings import load
from apidanalytics.config.tables import Key

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "collection.md").read_text()
STORES_PAGE = (DOCS / "object-stores.md").read_text()
SECTIONS = {
    "## The service": keys.SERVICE,
    **{f"### `type: {name}`": table for name, table in keys.STORES.items()},
    "## Tenants": keys.TENANTS,
    "## Tokens": keys.TOKENS,
}
SURROUNDING, *STORES = re.findall(r"```yaml\n(.*?)```", STORES_PAGE, re.DOTALL)


def shown_default(key: Key) -> str:
    """Return the default as the file would have it."""
    if key.required:
        return "required"
    if key.default is None:
        return "not set"
    values = key.default if key.many else (key.default,)
    return ", ".join(f"`{key.kind.format(value)}`" for value in values)


def row(key: Key) -> list[str]:
    kind = f"list of {key.kind.name}" if key.many else key.kind.name
    return [f"`{key.name}`", kind, shown_default(key), key.help + (" It is secret." if key.secret else "")]


@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_has_every_key_of_a_table_in_its_order(title):
    _, _, rest = TEXT.partition(f"\n{title}\n")
    section = re.split(r"\n#{2,3} ", rest)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert rows == [row(key) for key in SECTIONS[title]]
    assert all(key.help.endswith(".") for key in SECTIONS[title])


@pytest.mark.parametrize("stores", STORES)
def test_the_examples_of_the_stores_are_right(stores, tmp_path):
    before, _, _ = SURROUNDING.partition("stores:\n")
    text = before + stores
    for file in re.findall(r": (/etc/\S+)", text):
        (tmp_path / Path(file).name).write_text("c2VjcmV0")
        text = text.replace(file, str(tmp_path / Path(file).name))
    path = tmp_path / "collection.yaml"
    path.write_text(text)
    assert list(load(path).stores) == ["main"]


def test_there_is_an_example_for_every_kind_of_store():
    assert {kind for text in STORES for kind in re.findall(r"type: (\w+)", text)} == set(keys.STORES)
