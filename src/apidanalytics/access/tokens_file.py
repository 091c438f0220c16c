"""The file of the tokens that the data API takes: who may send batches, and for whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from apidanalytics.access.keys import HASH, NAME, SCOPE, TENANT
from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token
from apidanalytics.config.document import Section, read_document
from apidanalytics.config.tables import Key, TableReader
from apidanalytics.errors import ConfigurationError

TOKENS: Final = (
    Key(name="name", kind=NAME, required=True, help="Who has it; it stands in the log."),
    HASH,
    Key(
        name="tenants",
        kind=TENANT,
        many=True,
        default=(),
        help="Tenants that it may send batches for: `<org>~<env>`, where `*` stands for any characters.",
    ),
    Key(
        name="scopes",
        kind=SCOPE,
        many=True,
        default=(),
        help="Scopes that it may send batches to, whatever tenant is behind them.",
    ),
)
"""The keys of one entry. One of ``tenants`` and ``scopes`` has to say something."""


def load_tokens(path: Path) -> Sequence[Token]:
    """Read the file.

    Raises:
        ConfigurationError: with every problem that was found. No token stands in it.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    root = read_document(content, str(path))
    reader = TableReader(path, lists=("tokens",))
    reader.values(Section(root.line, {name: node for name, node in root.members.items() if name != "tokens"}), (), "")
    tokens: list[Token] = []
    for number, entry in reader.entries(root, "tokens"):
        where = f"tokens[{number}]"
        values = reader.values(entry, TOKENS, where)
        if not values.keys() >= {key.name for key in TOKENS}:
            continue
        if not values["tenants"] and not values["scopes"]:
            reader.add(where, "needs tenants or scopes: it would be for nobody", entry)
        tokens.append(_token(values))
    for token in _twice(tokens):
        reader.add("tokens", f"the hash of {token.name!r} is there twice: keep one")
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return tokens


def _token(values: Mapping[str, Any]) -> Token:
    return Token(
        name=values["name"],
        hash=values["hash"],
        tenants=tuple(Pattern(text) for text in values["tenants"]),
        scopes=frozenset(values["scopes"]),
    )


def _twice(tokens: Sequence[Token]) -> list[Token]:
    seen = Counter(token.hash for token in tokens)
    return list({token.hash: token for token in tokens if seen[token.hash] > 1}.values())


def to_plain(tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """Return tokens for a pipe; ``from_plain`` reads them."""
    return [
        {
            "name": token.name,
            "hash": token.hash,
            "tenants": [pattern.text for pattern in token.tenants],
            "scopes": sorted(token.scopes),
        }
        for token in tokens
    ]


def from_plain(entries: Sequence[Mapping[str, Any]]) -> list[Token]:
    """Return the tokens that ``to_plain`` gave."""
    return [_token(entry) for entry in entries]
