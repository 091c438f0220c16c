"""From the sources to ``Settings``: all of them read, all problems reported at once."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from apidanalytics import errors
from apidanalytics.config import checks, sources
from apidanalytics.config.addresses import hide_credentials
from apidanalytics.config.setting import PREFIX, Setting
from apidanalytics.config.settings import SETTINGS, Settings
from apidanalytics.config.sources import Given, Source, printable
from apidanalytics.telemetry.masking import MASK

DEFAULT: Final = "default"
EMBEDDED: Final = "embedded default"

_BY_KEY: Final = {row.key: row for row in SETTINGS}
_BY_ATTRIBUTE: Final = {row.attribute: row for row in SETTINGS}
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_MISSING: Final = "Missing required config value"
_PLACE: Final = ("local_storage_path", "apidanalytics_data_path")
"""What tells where the data directory is."""
_ALIKE: Final = 0.8
"""So much of a key that is none of ours is like one of these, and then it is taken for that, misspelt."""


@dataclass(slots=True)
class _Resolved:
    """What became of the table's rows: a value, or a problem."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load(
    *,
    config_file: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NOTHING,
    embedded: bool = False,
) -> Settings:
    """Read the settings: command line over environment over file over default.

    Args:
        config_file: the YAML file; None: ``APID_CONFIG_FILE``, or ``apid_config.yaml`` in the working directory, which
            may be missing.
        environ: where ``APID_<KEY>`` is looked up.
        overrides: values of command line options by key; None counts as not given.
        embedded: the collection endpoint is the embedded one, so ``local_storage_path`` is ``./data`` unless it is
            given, and ``apidanalytics_uap_server_base`` is ``""`` unless it is given: the service fills it in.

    Raises:
        ConfigurationError: with every problem that was found. No secret stands in it.

    """
    read = [_read_file(config_file, environ), sources.from_environment(environ), sources.from_command_line(overrides)]
    resolved, problems = _resolve_all(read, embedded=embedded)
    if any(problem.startswith(_MISSING) for problem in resolved.problems):
        problems += _no_file(config_file, environ)
    if problems:
        raise errors.ConfigurationError(problems)
    return _settings(resolved)


def load_leniently(*, config_file: Path | None, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings as far as they can be used, to find the service that was started before they were spoiled.

    Returns:
        The settings as for ``embedded``, with the default in the place of each value that cannot be used; and every
        problem.

    Raises:
        ConfigurationError: the problems leave open where the data directory is.

    """
    read = [_read_file(config_file, environ), sources.from_environment(environ)]
    resolved, problems = _resolve_all(read, embedded=True)
    is_read = all(source.given or not source.problems for source in read)
    misspelt = list(_misspelt_place((value.key for source in read for value in source.given), resolved))
    problems += misspelt
    if not is_read or misspelt or any(problem.startswith(f"{key}:") for problem in problems for key in _PLACE):
        raise errors.ConfigurationError(problems)
    for row in SETTINGS:
        if row.key not in resolved.values:
            resolved.values[row.key], resolved.origins[row.key] = row.default, DEFAULT
    return _settings(resolved), problems


def _no_file(named: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield that no file was read at all, which is mostly why a setting is missing."""
    default = Path(sources.DEFAULT_FILE)
    if named is None and not environ.get(sources.FILE_VARIABLE, "").strip() and not default.exists():
        where = f"neither {printable(str(default.absolute()))} nor one named by {sources.FILE_VARIABLE} or --config"
        yield f"config file: there is none, {where}"


def _resolve_all(read: Iterable[Source], *, embedded: bool) -> tuple[_Resolved, list[str]]:
    """Return what became of the sources, with every problem."""
    given = [value for source in read for value in source.given]
    resolved = _resolve({value.key: value for value in given}, embedded=embedded)
    problems = [problem for source in read for problem in source.problems]
    return resolved, [*problems, *_unknown(given), *resolved.problems, *_between(resolved)]


def _settings(resolved: _Resolved) -> Settings:
    values = {_BY_KEY[key].attribute: value for key, value in resolved.values.items()}
    return Settings(**values, origins=resolved.origins)


def _read_file(named: Path | None, environ: Mapping[str, str]) -> Source:
    if named is not None:
        return sources.from_file(named)
    by_environment = environ.get(sources.FILE_VARIABLE, "").strip()
    if by_environment:
        return sources.from_file(Path(by_environment))
    return sources.from_file(Path(sources.DEFAULT_FILE), may_be_missing=True)


def _resolve(given: Mapping[str, Given], *, embedded: bool) -> _Resolved:
    resolved = _Resolved()
    for row in SETTINGS:
        value = given.get(row.key)
        if value is not None and (row.kind.takes_empty or value.text is None or value.text.strip()):
            _read(row, value, resolved)
        elif row.required and not embedded:
            resolved.problems.append(f"{_MISSING}: {row.key}")
        else:
            instead = embedded and row.embedded is not None
            resolved.values[row.key] = row.embedded if instead else row.default
            resolved.origins[row.key] = EMBEDDED if instead else DEFAULT
    return resolved


def _read(row: Setting, given: Given, resolved: _Resolved) -> None:
    text = given.parts if row.kind.takes_parts and given.text is None else given.text
    if text is None:
        resolved.problems.append(f"{row.key}: should be a single value, {row.kind.expected} ({given.place})")
        return
    try:
        resolved.values[row.key] = row.kind.parse(text.strip())
        resolved.origins[row.key] = given.origin
    except ValueError:
        shown = MASK if row.secret else repr(errors.quote(hide_credentials(text)))
        resolved.problems.append(f"{row.key}: {shown} should be {row.kind.expected} ({given.place})")


def _unknown(given: Iterable[Given]) -> Iterator[str]:
    """Yield a problem for each key of ours that does not exist. Its value is not shown: it may be a secret."""
    for value in given:
        ours = value.key.startswith(PREFIX) or value.origin == sources.COMMAND_LINE
        if ours and value.key not in _BY_KEY:
            key = printable(value.key)
            yield f"{key}: there is no such setting ({value.place}); the nearest is {_nearest(key)}"


def _nearest(key: str) -> str:
    # Without the prefix, which all of ours share, the rest of the name decides.
    (attribute,) = difflib.get_close_matches(key.removeprefix(PREFIX), _BY_ATTRIBUTE, n=1, cutoff=0.0)
    return _BY_ATTRIBUTE[attribute].key


def _misspelt_place(given: Iterable[str], resolved: _Resolved) -> Iterator[str]:
    """Yield that the data directory may be another one, for each key that may stand for one of its own, not given."""
    not_given = [key for key in _PLACE if resolved.origins.get(key) in {DEFAULT, EMBEDDED}]
    for key in given:
        if key in _BY_KEY:
            continue
        alike = difflib.get_close_matches(key, not_given, n=1, cutoff=_ALIKE)
        if not alike and key.startswith(PREFIX):
            alike = [place for place in not_given if place == _nearest(key)]
        for place in alike:
            yield f"{printable(key)}: where the data directory is cannot be told; does it mean {place}?"


def _between(resolved: _Resolved) -> Iterator[str]:
    shown = {key: f"{_BY_KEY[key].show(value)} ({resolved.origins[key]})" for key, value in resolved.values.items()}
    yield from checks.contradictions(resolved.values, shown)
    yield from checks.unreadable(resolved.values, shown)
