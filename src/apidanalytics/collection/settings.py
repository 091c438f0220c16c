"""From the collection service's file to its settings: all of it read, all problems reported at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from apidanalytics.collection import keys
from apidanalytics.collection.document import Listing, Node, Section, Value, read_document
from apidanalytics.collection.keys import Key
from apidanalytics.collection.tenants import Pattern, Rule, prefix_problem
from apidanalytics.collection.tokens import Token
from apidanalytics.errors import ConfigurationError, quote

_EVERY_INTERFACE: Final = ("", "0.0.0.0", "[::]")  # noqa: S104 - to know them when they are given
_LISTS: Final = ("stores", "tenants", "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """One store: its ``type``, and the values of the keys of that type."""

    type: str
    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<StoreSettings {self.type}>"  # among the values may be a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """Everything that the file says."""

    service: Mapping[str, Any]
    """Values of ``keys.SERVICE``."""
    stores: Mapping[str, StoreSettings]
    rules: Sequence[Rule]
    tokens: Sequence[Token]
    files: Sequence[Path]
    """The files it was read from, and those it names: a change of one is a change of the settings."""


def load(path: Path) -> CollectionSettings:
    """Read the file.

    Raises:
        ConfigurationError: with every problem that was found. No secret stands in it.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    reading = _Reading(read_document(content, str(path)), path)
    settings = reading.settings()
    if reading.problems:
        raise ConfigurationError(reading.problems)
    return settings


class _Reading:
    """One reading of the file; it goes on past every problem."""

    def __init__(self, root: Section, path: Path) -> None:
        self._root = root
        self._path = path
        self._files = [path]
        self.problems: list[str] = []

    def settings(self) -> CollectionSettings:
        own = {name: node for name, node in self._root.members.items() if name not in _LISTS}
        service = self._values(Section(1, own), keys.SERVICE, "")
        self._together(service, "tls_cert", "tls_key", "")
        stores = {name: store for name, store in self._stores() if store is not None}
        rules = [rule for number, node in self._entries("tenants") if (rule := self._rule(node, number))]
        tokens = [token for number, node in self._entries("tokens") if (token := self._token(node, number))]
        self._check_names(rules, tokens)
        self._check_public_urls(service, stores)
        self._files += [service[name] for name in ("tls_cert", "tls_key") if service.get(name)]
        return CollectionSettings(service=service, stores=stores, rules=rules, tokens=tokens, files=tuple(self._files))

    def _stores(self) -> Iterator[tuple[str, StoreSettings | None]]:
        node = self._root.members.get("stores")
        if not isinstance(node, Section) or not node.members:
            self._add("stores", "should be a mapping of names to stores, with at least one", node)
            return
        for name, store in node.members.items():
            if self._read_one(keys.STORE_NAME, Value(store.line, name), "stores") is not None:
                yield name, self._store(f"stores.{name}", store)

    def _store(self, where: str, node: Node) -> StoreSettings | None:
        if not isinstance(node, Section):
            self._add(where, "should be a mapping with a type", node)
            return None
        kind = self._values(Section(node.line, _only(node, "type")), (keys.STORE_TYPE,), where).get("type")
        if kind is None:
            return None
        rest = Section(node.line, {name: value for name, value in node.members.items() if name != "type"})
        values = self._values(rest, keys.STORES[kind], where)
        return StoreSettings(type=kind, values=self._with_secrets(values, where))

    def _with_secrets(self, values: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the values with each secret that stands in a file read from there."""
        for name in ("secret_access_key", "account_key"):
            file = values.pop(f"{name}_file", None)
            if file is None:
                continue
            if values.get(name) is not None:
                self._add(f"{where}.{name}", f"excludes {name}_file: set one of them")
            values[name] = self._secret(file, f"{where}.{name}_file")
        self._together(values, "access_key_id", "secret_access_key", where)
        if values.get("account_key", "") is None:
            self._add(f"{where}.account_key", "is required (or account_key_file)")
        if "credentials_file" in values:
            values["credentials"] = self._secret(values.pop("credentials_file"), f"{where}.credentials_file")
        return values

    def _secret(self, file: Path, where: str) -> str | None:
        self._files.append(file)
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not plain text"
            self._add(where, f"{str(file)!r} cannot be read: {why}")
            return None

    def _rule(self, node: Section, number: int) -> Rule | None:
        where = f"tenants[{number}]"
        values = self._values(node, keys.TENANTS, where)
        if not values.keys() >= {"tenant", "store", "prefix", "expiry", "content_types"}:
            return None
        pattern = Pattern(values["tenant"])
        problem = prefix_problem(values["prefix"], pattern)
        if problem:
            self._add(f"{where}.prefix", problem, node)
        known = self._root.members.get("stores")
        if isinstance(known, Section) and values["store"] not in known.members:
            self._add(f"{where}.store", f"there is no store {values['store']!r} under stores", node)
        return Rule(
            pattern=pattern,
            store=values["store"],
            prefix=values["prefix"],
            expires_seconds=int(values["expiry"]),
            content_types=values["content_types"],
        )

    def _token(self, node: Section, number: int) -> Token | None:
        values = self._values(node, keys.TOKENS, f"tokens[{number}]")
        if not values.keys() >= {"name", "hash", "tenants"}:
            return None
        tenants = tuple(Pattern(text) for text in values["tenants"])
        return Token(name=values["name"], hash=values["hash"], tenants=tenants)

    def _check_names(self, rules: Sequence[Rule], tokens: Sequence[Token]) -> None:
        for twice in _twice([rule.pattern.tenant for rule in rules]):
            self._add("tenants", f"{twice!r} is there twice: keep one")
        shared = [(rule.store, rule.prefix_of(rule.pattern.tenant)) for rule in rules if rule.pattern.is_exact]
        for store, prefix in _twice(shared):
            self._add("tenants", f"two tenants share the prefix {prefix} of the store {store}: each needs its own")
        for twice in _twice([token.hash for token in tokens]):
            name = next(token.name for token in tokens if token.hash == twice)
            self._add("tokens", f"the hash of {name!r} is there twice: keep one")

    def _check_public_urls(self, service: Mapping[str, Any], stores: Mapping[str, StoreSettings]) -> None:
        """Report a folder whose PUTs nobody could address: every interface is no place to send them to."""
        if service.get("listen", "").rpartition(":")[0] not in _EVERY_INTERFACE:
            return
        for name, store in stores.items():
            if store.type == "local" and store.values.get("public_url", "") is None:
                self._add(f"stores.{name}.public_url", f"is required, since listen is {service['listen']}")

    # -- one table

    def _entries(self, name: str) -> Iterator[tuple[int, Section]]:
        node = self._root.members.get(name)
        if not isinstance(node, Listing) or not node.items:
            self._add(name, "should be a list of mappings, with at least one", node)
            return
        for number, item in enumerate(node.items, start=1):
            if isinstance(item, Section):
                yield number, item
            else:
                self._add(f"{name}[{number}]", "should be a mapping", item)

    def _values(self, section: Section, table: Sequence[Key], where: str) -> dict[str, Any]:
        """Return the value of each key that is good: a missing one has its default."""
        known = {key.name: key for key in table}
        for name, node in section.members.items():
            if name not in known:
                self._unknown(name, known, where, node)
        values: dict[str, Any] = {}
        for key in table:
            given = section.members.get(key.name)
            if given is not None and given != Value(given.line, ""):
                read = self._read(key, given, _join(where, key.name))
                values |= {} if read is None else {key.name: read}
            elif key.required:
                self._add(_join(where, key.name), "is required", section)
            else:
                values[key.name] = self._placed(key.default)
        return values

    def _read(self, key: Key, node: Node, where: str) -> Any:
        items = node.items if key.many and isinstance(node, Listing) else (node,)
        read = [self._read_one(key, item, where) for item in items]
        if None in read:
            return None
        return tuple(read) if key.many else read[0]

    def _read_one(self, key: Key, item: Node, where: str) -> Any:
        if not isinstance(item, Value):
            self._add(where, f"should be a single value, {key.kind.expected}", item)
            return None
        try:
            return self._placed(key.kind.parse(item.text))
        except ValueError:
            given = "***" if key.secret else repr(quote(item.text))
            self._add(where, f"{given} should be {key.kind.expected}", item)
            return None

    def _placed(self, value: Any) -> Any:
        """Return a relative path as one that starts at the folder of the file."""
        return self._path.parent / value if isinstance(value, Path) else value

    def _unknown(self, name: str, known: Mapping[str, Key], where: str, node: Node) -> None:
        (nearest,) = get_close_matches(name, [*known, *([] if where else _LISTS)], n=1, cutoff=0.0)
        self._add(_join(where, quote(name)), f"there is no such key; the nearest is {nearest}", node)

    def _together(self, values: Mapping[str, Any], one: str, other: str, where: str) -> None:
        """Report one without the other; of a key that has a problem already nothing is said."""
        if {one, other} <= values.keys() and (values[one] is None) != (values[other] is None):
            self._add(_join(where, one), f"needs {other}, and the other way round: set both or neither")

    def _add(self, where: str, what: str, node: Node | None = None) -> None:
        line = f", line {node.line}" if node is not None else ""
        self.problems.append(f"{where}: {what} ({self._path}{line})")


def _only(section: Section, name: str) -> dict[str, Node]:
    return {name: section.members[name]} if name in section.members else {}


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _twice(items: Sequence[Any]) -> list[Any]:
    return sorted({item for item in items if items.count(item) > 1}, key=str)
