"""Whatever is given, ``load`` returns settings or raises ``ConfigurationError``; and no secret is in what it says."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apidanalytics import config
from apidanalytics.config import SETTINGS, addresses, kinds, sources, units
from apidanalytics.errors import ConfigurationError

ENOUGH = {"APID_LOCAL_STORAGE_PATH": "/var/apid", "APID_APIDANALYTICS_UAP_SERVER_BASE": "https://collect.example"}
KEYS = st.sampled_from([row.key for row in SETTINGS])
NAMES = KEYS | KEYS.map(str.upper) | st.text(max_size=20) | st.text(max_size=20).map("apidanalytics_{}".format)
NEAR_MISSES = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "5s",
        "1e400",
        "16MiB",
        "true",
        "NaN",
        ".inf",
        "[::1]:1",
        "unix:",
        "https://[",
        "/",
        "..",
        "\0",
        "\ud800",
    ]
)
TEXTS = NEAR_MISSES | st.text(max_size=30) | st.from_regex(r"[0-9.]{1,8}[a-zA-Z]{0,3}", fullmatch=True)
SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.binary(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2))
YAML_MARKS = st.text(st.sampled_from(list("ab01 :-[]{}#&*!|>'\"%@`~?,<.\\UxX\t\n\r\ufeff\x85\0é")), max_size=40)


def load_or_refuse(content: bytes, environ: dict[str, str], overrides: dict[str, object], directory: Path) -> str:
    """Return everything that may be shown to people about the outcome."""
    path = directory / "settings.yaml"
    path.write_bytes(content)
    try:
        loaded = config.load(config_file=path, environ={**ENOUGH, **environ}, overrides=overrides)
    except ConfigurationError as error:
        said = "\n".join(error.problems)
    else:
        assert config.Settings.from_json(loaded.to_json()) == loaded
        said = repr(config.effective(loaded)) + repr(loaded)
    assert said
    said.encode()
    return said


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("settings")


@settings(deadline=None)
@given(mapping=st.dictionaries(NAMES, VALUES), environ=st.dictionaries(NAMES.map("APID_{}".format), TEXTS))
def test_any_mapping_and_environment_give_settings_or_a_configuration_error(directory, mapping, environ):
    content = yaml.safe_dump(mapping, allow_unicode=False).encode("ascii", "replace")
    load_or_refuse(content, environ, {}, directory)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60) | YAML_MARKS.map(str.encode))
@example(b'a: "\\UFFFFFFFF"')
@example(b"? ? ? ?")
@example(b"%YAML " + 5000 * b"1" + b".1\n---\na: 1")
@example(b"&a\n<<: *a")
@example(b"<<: 1")
@example(b"<<: [1]")
@example(b"=: 1")
@example(b"\xff\xfea\x00")
def test_any_bytes_as_a_file_give_settings_or_a_configuration_error(directory, content):
    load_or_refuse(content, {}, {}, directory)


@settings(deadline=None)
@given(overrides=st.dictionaries(NAMES, VALUES))
def test_any_options_give_settings_or_a_configuration_error(directory, overrides):
    load_or_refuse(b"", {}, overrides, directory)


@settings(deadline=None)
@given(path=st.text(max_size=20))
@example("\0")
@example("\ud800")
@example("/" + 5000 * "x")
def test_any_name_of_a_file_gives_settings_or_a_configuration_error(path):
    with pytest.raises(ConfigurationError) as raised:
        config.load(config_file=Path("/nothing/here") / path, environ={})
    str(raised.value).encode()


@settings(deadline=None)
@given(
    secret=st.from_regex(r"Secret[!-~]{6,20}", fullmatch=True),
    spoil=st.sampled_from(["", " ", " x", "\n", "ü", "\0"]),
    place=st.sampled_from(["file", "environment", "command line"]),
    key=st.sampled_from([row.key for row in SETTINGS if row.secret]),
    other=st.sampled_from(["", "configfwdproxy_port", "apigeesync_bearer_token_file"]),
)
def test_a_secret_right_or_wrong_is_never_shown(directory, secret, spoil, place, key, other):
    value = f"{spoil}{secret}{spoil}{secret}"
    environ = {f"APID_{other.upper()}": "3128"} if other else {}
    content = yaml.safe_dump({key: value}).encode() if place == "file" else b""
    if place == "environment":
        environ[f"APID_{key.upper()}"] = value
    overrides: dict[str, object] = {key: value} if place == "command line" else {}
    assert secret not in load_or_refuse(content, environ, overrides, directory)


@settings(deadline=None)
@given(secret=st.from_regex(r"Secret[!-~]{6,20}", fullmatch=True), before=YAML_MARKS, after=YAML_MARKS)
def test_a_broken_file_is_not_quoted(secret, before, after):
    content = f"apigeesync_bearer_token: {before}{secret}{after}".encode()
    for problem in sources.parse(content, Path("apid_config.yaml")).problems:
        assert secret not in problem


@settings(deadline=None)
@given(seconds=st.integers(0, 10**9) | st.integers(0, 10**9).map(lambda n: n / 1000) | st.floats(1e-6, 1e8))
def test_a_duration_formats_and_parses(seconds):
    seconds = round(float(seconds), 9)
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@settings(deadline=None)
@given(size_bytes=st.integers(0, 2**39) | st.integers(0, 1000).map(lambda n: n * 2**20))
def test_a_size_formats_and_parses(size_bytes):
    assert units.parse_size(units.format_size(size_bytes)) == size_bytes


@given(text=TEXTS | st.text(max_size=60))
@example("https://[::1]:x")
@example("[::1%eth0]:1")
@example("unix:/\ud800")
@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.key)
@settings(max_examples=20, deadline=None)
def test_a_kind_gives_a_value_that_reads_back_or_a_value_error(row, text):
    try:
        value = row.kind.parse(text)
    except ValueError:
        return
    assert row.kind.parse(row.kind.format(value)) == value


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_addresses_refuse_with_value_errors_only(text):
    for parse in (addresses.parse_listen, addresses.parse_host, addresses.parse_base_url, kinds.PATH.parse):
        try:
            parse(text)
        except ValueError:
            pass
