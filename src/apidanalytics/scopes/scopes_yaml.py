"""The scopes file: from YAML to rows, with every problem found at once.

::

    scopes:
      - {id: <scope uuid>, org: <org>, env: <env>, tenant_id: <tenant id>}
    api_keys:
      - {key: <API key>, tenant_id: <tenant id>, product: <name>, app: <name>, developer: <name>, email: <address>}

``developer`` and ``email`` may be left out (a company's app), and ``api_keys`` as a whole. A key with several products
stands there once for each; the product whose name is lowest counts.

Problems name lines and fields, never an API key.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from apidanalytics.scopes.source import SourceError
from apidanalytics.scopes.yaml_tree import Listing, Mapping, Node, Scalar, read_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeEntry:
    """One scope."""

    id: str
    org: str
    env: str
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One API key with one of its products."""

    key: str
    tenant_id: str
    product: str
    app: str
    developer: str = ""
    """Empty for the app of a company."""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeData:
    """What a scopes file says."""

    scopes: tuple[ScopeEntry, ...]
    api_keys: tuple[KeyEntry, ...]


_SECTIONS: Final = ("scopes", "api_keys")
_SCOPE_FIELDS: Final = {"id": True, "org": True, "env": True, "tenant_id": True}
_KEY_FIELDS: Final = {
    "key": True,
    "tenant_id": True,
    "product": True,
    "app": True,
    "developer": False,
    "email": False,
}


def parse(content: bytes) -> ScopeData:
    """Read a scopes file.

    Raises:
        SourceError: it is not of the form above; all problems are listed, each with its line.

    """
    form = _Form()
    data = read_tree(content, form.read)
    if form.problems:
        raise SourceError(form.problems)
    return data


class _Form:
    """Goes through the tree, once, and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._texts: dict[str, str] = {}

    def read(self, root: Node) -> ScopeData:
        scopes: list[tuple[int, ScopeEntry]] = []
        keys: list[tuple[int, KeyEntry]] = []
        members = self._members(root, "the file", _SECTIONS)
        sections = set()
        for section, node in members or ():
            sections.add(section)
            if section == "scopes":
                scopes += ((line, ScopeEntry(**fields)) for line, fields in self._entries(node, section, _SCOPE_FIELDS))
            else:
                keys += ((line, KeyEntry(**fields)) for line, fields in self._entries(node, section, _KEY_FIELDS))
        if members is not None and "scopes" not in sections:
            self._complain(root, "scopes: is missing")
        self.problems += [*_contradicting_scopes(scopes), *_contradicting_keys(keys)]
        return ScopeData(scopes=tuple(row for _, row in scopes), api_keys=tuple(row for _, row in keys))

    def _entries(self, node: Node, section: str, fields: dict[str, bool]) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield line and fields of each entry that is whole."""
        if section != "scopes" and _is_null(node):
            return
        if not isinstance(node, Listing):
            self._complain(node, f"{section}: should be a list")
            return
        for item in node.items:
            before = len(self.problems)
            values = self._fields(item, section, fields)
            if len(self.problems) == before:
                yield item.line, values

    def _fields(self, item: Node, section: str, fields: dict[str, bool]) -> dict[str, str]:
        found = self._members(item, f"an entry of {section}", tuple(fields))
        if found is None:
            return {}
        members = dict(found)
        for name, required in fields.items():
            if required and (name not in members or _is_null(members[name])):
                self._complain(item, f"{section}: {name} is missing")
        texts = {name: self._text(node, section, name) for name, node in members.items() if not _is_null(node)}
        for name in (name for name, text in texts.items() if fields[name] and text == ""):
            self._complain(members[name], f"{section}: {name} is empty")
        return {name: text or "" for name, text in texts.items()}

    def _members(self, node: Node, what: str, allowed: Sequence[str]) -> Iterator[tuple[str, Node]] | None:
        """Return the members of a mapping that are known here; None if it is no mapping."""
        if not isinstance(node, Mapping):
            self._complain(node, f"{what} should be a mapping with {', '.join(allowed)}")
            return None
        return self._known(node, what, allowed)

    def _known(self, node: Mapping, what: str, allowed: Sequence[str]) -> Iterator[tuple[str, Node]]:
        known: set[str] = set()
        for key, value in node.members:
            name = key.text if isinstance(key, Scalar) else ""
            if name not in allowed:
                self._complain(key, f"{what} {_unknown(name, allowed)}")
            elif name in known:
                self._complain(key, f"{name} stands there twice")
            else:
                known.add(name)
                yield name, value

    def _text(self, node: Node, section: str, name: str) -> str | None:
        """Return a value that is text, None (after complaining) if it is not."""
        kind = node.kind if isinstance(node, Scalar) else type(node).__name__.lower()
        if isinstance(node, Scalar) and kind == "str":
            if _is_encodable(node.text):
                return self._texts.setdefault(node.text, node.text)
            self._complain(node, f"{section}: {name} is not valid UTF-8")
            return None
        hint = " (put it in quotes)" if isinstance(node, Scalar) else ""
        self._complain(node, f"{section}: {name} should be a string, not {kind}{hint}")
        return None

    def _complain(self, node: Node, problem: str) -> None:
        self.problems.append(f"line {node.line}: {problem}")


def _contradicting_scopes(rows: Iterable[tuple[int, ScopeEntry]]) -> Iterator[str]:
    ids: dict[str, int] = {}
    tenants: dict[tuple[str, str], tuple[int, str]] = {}
    for line, row in rows:
        if row.id in ids:
            yield f"line {line}: scopes: the id of line {ids[row.id]} again"
        ids.setdefault(row.id, line)
        first, tenant_id = tenants.setdefault((row.org, row.env), (line, row.tenant_id))
        if tenant_id != row.tenant_id:
            yield f"line {line}: scopes: org and env of line {first} again, with another tenant_id"


def _contradicting_keys(rows: Iterable[tuple[int, KeyEntry]]) -> Iterator[str]:
    products: dict[tuple[str, str, str], int] = {}
    apps: dict[tuple[str, str], tuple[int, tuple[str, str, str]]] = {}
    for line, row in rows:
        product = (row.tenant_id, row.key, row.product)
        if product in products:
            yield f"line {line}: api_keys: the key of line {products[product]} again, with the same product"
        products.setdefault(product, line)
        app = (row.app, row.developer, row.email)
        first, owner = apps.setdefault((row.tenant_id, row.key), (line, app))
        if owner != app:
            yield f"line {line}: api_keys: the key of line {first} again, with another app, developer or email"


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "null"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(name: str, allowed: Sequence[str]) -> str:
    """Say that there is no such field; its name is quoted only if it cannot be an API key in the wrong place."""
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"has no field {name!r} (did you mean {near[0]}?)" if near else f"has only {', '.join(allowed)}"
