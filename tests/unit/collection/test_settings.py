"""The file of the collection service: all of it is read, and all problems are reported at once."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.collection.settings import load
from apidanalytics.config.document import read_document
from apidanalytics.errors import ConfigurationError
from apidanalytics.file_versions import look_at

HASH = "sha256:" + "ab" * 32
GOOD = f"""
stores:
  folder: {{type: local, path: lake}}
tenants:
  - {{tenant: "acme~*", store: folder}}
tokens:
  - {{name: one, hash: "{HASH}", tenants: "acme~*"}}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **files):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        path = tmp_path / "collection.yaml"
        path.write_text(text)
        return load(path)

    return read


def problems(read, text, **files):
    with pytest.raises(ConfigurationError) as raised:
        read(text, **files)
    return raised.value.problems


def test_a_small_file_is_enough_and_paths_start_at_its_folder(read, tmp_path):
    settings = read(GOOD)
    assert settings.service["listen"] == "127.0.0.1:9080"
    assert settings.service["audit_log"] == tmp_path / "collection-audit.log"
    assert settings.stores["folder"].values["path"] == tmp_path / "lake"
    (rule,) = settings.rules
    assert (rule.prefix, rule.expires_seconds, rule.content_types) == ("{tenant}", 900, ("application/x-gzip",))


def test_all_problems_are_reported_at_once_each_with_its_place(read, tmp_path):
    text = """
listen: nonsense
rate_limti: 5
tls_cert: cert.pem
stores:
  one: {type: s3, bucket: b1, access_key_id: AK}
  two: {type: gcs, bucket: bb2}
  three: {type: ftp}
  four: {type: azure, account: acct, container: box}
tenants:
  - {tenant: acme, store: one}
  - {tenant: "*~*", store: nowhere, prefix: "{org}"}
  - {tenant: "a~b", store: one, expiry: 8d}
  - nonsense
tokens:
  - {name: x, hash: plain, tenants: ["a~b"]}
"""
    found = problems(read, text)
    for start in (
        "listen: 'nonsense' should be an address",
        "rate_limti: there is no such key; the nearest is rate_limit",
        "tls_cert: needs tls_key",
        "stores.one.bucket: 'b1' should be",
        "stores.one.access_key_id: needs secret_access_key",
        "stores.two.credentials_file: is required",
        "stores.three.type: 'ftp' should be s3, gcs, azure or local",
        "stores.four.account_key: is required",
        "tenants[1].tenant: 'acme' should be",
        "tenants[2].prefix: the tenants of *~* would share it",
        "tenants[2].store: there is no store 'nowhere'",
        "tenants[3].expiry: '8d' should be",
        "tenants[4]: should be a mapping",
        "tokens[1].hash: 'plain' should be",
    ):
        assert [problem for problem in found if problem.startswith(start)], start
    assert f"({tmp_path / 'collection.yaml'}, line 2)" in found[1] + found[0]
    assert len(found) == 14


@pytest.mark.parametrize(
    "text",
    ["", "- a", "stores: [", "a: 1\na: 2", "? [a]\n: b", "x: &a 1\n<<: *b", "\x00", "1: 2", "stores: &a\n  x: *a"],
)
def test_what_is_no_such_file_is_one_problem(read, text):
    (problem,) = problems(read, text)
    assert "collection.yaml" in problem


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_no_secret_stands_in_a_problem_or_a_repr(read):
    text = GOOD.replace(
        "folder: {type: local, path: lake}",
        'folder: {type: s3, bucket: bbb, access_key_id: AK, secret_access_key: "very secret"}',
    )
    (problem,) = problems(read, text)
    assert "very secret" not in problem
    assert "'***'" in problem or "***" in problem
    assert "verysecret" not in repr(read(text.replace("very secret", "verysecret")))


def test_a_secret_may_stand_in_a_file_which_is_watched_too(read, tmp_path):
    text = GOOD.replace(
        "folder: {type: local, path: lake}",
        "folder: {type: s3, bucket: bbb, access_key_id: AK, secret_access_key_file: secret}",
    )
    settings = read(text, secret="sk\n")
    assert settings.stores["folder"].values["secret_access_key"] == "sk"
    assert list(settings.files) == [tmp_path / "collection.yaml", tmp_path / "secret"]
    assert tuple(settings.files.values()) == look_at(settings.files)


def test_a_file_that_changes_while_it_is_read_is_not_the_one_that_was_read(read, tmp_path, monkeypatch):
    path = tmp_path / "collection.yaml"

    def change_it(content, name):
        path.write_text("")
        return read_document(content, name)

    monkeypatch.setattr("apidanalytics.collection.settings.read_document", change_it)
    assert tuple(read(GOOD).files.values()) != look_at([path])


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ('  - {tenant: "acme~*", store: folder}', "'acme~*' is there twice"),
        (
            "  - {tenant: a~b, store: folder, prefix: p}\n  - {tenant: a~c, store: folder, prefix: p}",
            "a tenant of 'a~b' and one of 'a~c' could share a prefix of the store folder",
        ),
        (
            "  - {tenant: 'b~*', store: folder, prefix: '{env}'}\n  - {tenant: '*~x', store: folder, prefix: '{org}'}",
            "a tenant of 'b~*' and one of '*~x' could share a prefix of the store folder",
        ),
        ("  - {tenant: a~b, store: folder, prefix: '{name}'}", "only {org}, {env} and {tenant} may stand in braces"),
    ],
)
def test_two_tenants_never_have_one_place(read, extra, what):
    (problem,) = problems(read, GOOD.replace("tokens:", f"{extra}\ntokens:"))
    assert what in problem


@pytest.mark.parametrize("listen", ["0.0.0.0:9080", ":9080", '"[::]:9080"'])
def test_a_folder_needs_a_public_url_where_the_service_listens_everywhere(read, listen):
    (problem,) = problems(read, f"listen: {listen}\n{GOOD}")
    assert problem.startswith("stores.folder.public_url: is required")
    read(f"listen: {listen}\n{GOOD}".replace("path: lake", "path: lake, public_url: 'http://collect'"))


def test_the_name_of_a_store_can_stand_in_a_url(read):
    (problem,) = problems(read, GOOD.replace("  folder:", "  a/b: {type: local, path: x}\n  folder:"))
    assert problem.startswith("stores: 'a/b' should be 1 to 64 characters")


def test_a_hash_is_there_once(read):
    (problem,) = problems(read, GOOD + f'  - {{name: two, hash: "{HASH}", tenants: ["b~c"]}}\n')
    assert "tokens: the hash of 'one' is there twice" in problem


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!'\"#,\n |>", max_size=60).map(str.encode))
def test_any_content_is_read_or_a_problem(content):
    with contextlib.suppress(ConfigurationError):
        read_document(content, "file")
