"""From the collection service's file to its settings: all of it read, all problems reported at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token
from apidanalytics.collection import keys
from apidanalytics.collection.prefixes import prefix_problem, sharing
from apidanalytics.collection.tenants import Rule
from apidanalytics.config.document import Node, Section, Value, read_document
from apidanalytics.config.tables import TableReader, join
from apidanalytics.errors import ConfigurationError
from apidanalytics.file_versions import Version, version_now

_EVERY_INTERFACE: Final = ("", "0.0.0.0", "[::]")  # noqa: S104 - to know them when they are given # nosec B104
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
    files: Mapping[Path, Version]
    """The files it was read from, and those it names, each as it was before it was read: a change of one is a change
    of the settings."""


class RefusedSettingsError(ConfigurationError):
    """The file was read, and cannot be used."""

    def __init__(self, problems: list[str], files: Mapping[Path, Version]) -> None:
        super().__init__(problems)
        self.files = files
        """As of ``CollectionSettings``: with a change of one of them it may become good."""


def load(path: Path) -> CollectionSettings:
    """Read the file.

    Raises:
        ConfigurationError: with every problem that was found; ``RefusedSettingsError`` where the file names others.
            No secret stands in it.

    """
    version = version_now(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    reading = _Reading(read_document(content, str(path)), path, version)
    settings = reading.settings()
    if reading.problems:
        raise RefusedSettingsError(reading.problems, settings.files)
    return settings


class _Reading:
    """One reading of the file; it goes on past every problem."""

    def __init__(self, root: Section, path: Path, version: Version) -> None:
        self._root = root
        self._path = path
        self._files = {path: version}
        self._reader = TableReader(path, lists=_LISTS)
        self.problems = self._reader.problems

    def settings(self) -> CollectionSettings:
        own = {name: node for name, node in self._root.members.items() if name not in _LISTS}
        service = self._reader.values(Section(1, own), keys.SERVICE, "")
        self._together(service, "tls_cert", "tls_key", "")
        stores = {name: store for name, store in self._stores() if store is not None}
        rules = [
            rule for number, node in self._reader.entries(self._root, "tenants") if (rule := self._rule(node, number))
        ]
        tokens = [
            token for number, node in self._reader.entries(self._root, "tokens") if (token := self._token(node, number))
        ]
        self._check_names(rules, tokens)
        self._check_public_urls(service, stores)
        for name in ("tls_cert", "tls_key"):
            if service.get(name):
                self._look_at(service[name])
        return CollectionSettings(service=service, stores=stores, rules=rules, tokens=tokens, files=self._files)

    def _stores(self) -> Iterator[tuple[str, StoreSettings | None]]:
        node = self._root.members.get("stores")
        if not isinstance(node, Section) or not node.members:
            self._reader.add("stores", "should be a mapping of names to stores, with at least one", node)
            return
        for name, store in node.members.items():
            if self._reader.read_one(keys.STORE_NAME, Value(store.line, name), "stores") is not None:
                yield name, self._store(f"stores.{name}", store)

    def _store(self, where: str, node: Node) -> StoreSettings | None:
        if not isinstance(node, Section):
            self._reader.add(where, "should be a mapping with a type", node)
            return None
        kind = self._reader.values(Section(node.line, _only(node, "type")), (keys.STORE_TYPE,), where).get("type")
        if kind is None:
            return None
        rest = Section(node.line, {name: value for name, value in node.members.items() if name != "type"})
        values = self._reader.values(rest, keys.STORES[kind], where)
        return StoreSettings(type=kind, values=self._with_secrets(values, where))

    def _with_secrets(self, values: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the values with each secret that stands in a file read from there."""
        for name in ("secret_access_key", "account_key"):
            file = values.pop(f"{name}_file", None)
            if file is None:
                continue
            if values.get(name) is not None:
                self._reader.add(f"{where}.{name}", f"excludes {name}_file: set one of them")
            values[name] = self._secret(file, f"{where}.{name}_file")
        self._together(values, "access_key_id", "secret_access_key", where)
        if values.get("account_key", "") is None:
            self._reader.add(f"{where}.account_key", "is required (or account_key_file)")
        if "credentials_file" in values:
            values["credentials"] = self._secret(values.pop("credentials_file"), f"{where}.credentials_file")
        return values

    def _look_at(self, file: Path) -> None:
        """Take down a file that is about to be read; one that is read twice is the one it was at first."""
        self._files.setdefault(file, version_now(file))

    def _secret(self, file: Path, where: str) -> str | None:
        self._look_at(file)
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not plain text"
            self._reader.add(where, f"{str(file)!r} cannot be read: {why}")
            return None

    def _rule(self, node: Section, number: int) -> Rule | None:
        where = f"tenants[{number}]"
        values = self._reader.values(node, keys.TENANTS, where)
        if not values.keys() >= {"tenant", "store", "prefix", "expiry", "content_types"}:
            return None
        pattern = Pattern(values["tenant"])
        problem = prefix_problem(values["prefix"], pattern)
        if problem:
            self._reader.add(f"{where}.prefix", problem, node)
        known = self._root.members.get("stores")
        if isinstance(known, Section) and values["store"] not in known.members:
            self._reader.add(f"{where}.store", f"there is no store {values['store']!r} under stores", node)
        if problem:
            return None
        return Rule(
            pattern=pattern,
            store=values["store"],
            prefix=values["prefix"],
            expires_seconds=int(values["expiry"]),
            content_types=values["content_types"],
        )

    def _token(self, node: Section, number: int) -> Token | None:
        values = self._reader.values(node, keys.TOKENS, f"tokens[{number}]")
        if not values.keys() >= {"name", "hash", "tenants"}:
            return None
        tenants = tuple(Pattern(text) for text in values["tenants"])
        return Token(name=values["name"], hash=values["hash"], tenants=tenants)

    def _check_names(self, rules: Sequence[Rule], tokens: Sequence[Token]) -> None:
        for twice in _twice([rule.pattern.tenant for rule in rules]):
            self._reader.add("tenants", f"{twice!r} is there twice: keep one")
        for one, other in sharing(rules):
            self._reader.add(
                "tenants",
                f"a tenant of {one.pattern.text!r} and one of {other.pattern.text!r} could share a prefix of the store"
                f" {one.store}: let their prefixes begin in different ways, or put {{tenant}} into both",
            )
        for twice in _twice([token.hash for token in tokens]):
            name = next(token.name for token in tokens if token.hash == twice)
            self._reader.add("tokens", f"the hash of {name!r} is there twice: keep one")

    def _check_public_urls(self, service: Mapping[str, Any], stores: Mapping[str, StoreSettings]) -> None:
        """Report a folder whose PUTs nobody could address: every interface is no place to send them to."""
        if service.get("listen", "").rpartition(":")[0] not in _EVERY_INTERFACE:
            return
        for name, store in stores.items():
            if store.type == "local" and store.values.get("public_url", "") is None:
                self._reader.add(f"stores.{name}.public_url", f"is required, since listen is {service['listen']}")

    def _together(self, values: Mapping[str, Any], one: str, other: str, where: str) -> None:
        """Report one without the other; of a key that has a problem already nothing is said."""
        if {one, other} <= values.keys() and (values[one] is None) != (values[other] is None):
            self._reader.add(join(where, one), f"needs {other}, and the other way round: set both or neither")


def _only(section: Section, name: str) -> dict[str, Node]:
    return {name: section.members[name]} if name in section.members else {}


def _twice(items: Sequence[Any]) -> list[Any]:
    return sorted((item for item, number in Counter(items).items() if number > 1), key=str)
