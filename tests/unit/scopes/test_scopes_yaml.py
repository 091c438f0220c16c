"""A scopes file is read whole, or refused with every problem and its line."""

import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.scopes import yaml_tree
from apidanalytics.scopes.forms import EXAMPLE
from apidanalytics.scopes.scopes_yaml import KeyEntry, ScopeData, ScopeEntry, parse
from apidanalytics.scopes.source import MAX_PROBLEMS, SourceError

SCOPE = "{id: testid, org: testorg, env: testenv, tenant_id: tenantid}"
KEY = "{key: testapikey, tenant_id: tenantid, product: testproduct, app: testapp}"
GOOD = f"scopes:\n  - {SCOPE}\napi_keys:\n  - {KEY}\n"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True, scope="module")
def loader(request: pytest.FixtureRequest):
    """Run everything with the parser in C and with the one in Python, which serves where that is missing."""
    before = yaml_tree._LOADER
    yaml_tree._LOADER = getattr(yaml, request.param)
    yield
    yaml_tree._LOADER = before


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(SourceError) as caught:
        parse(text if isinstance(text, bytes) else text.encode())
    return list(caught.value.problems)


def test_the_test_data_of_the_seed_is_read() -> None:
    data = parse(
        b"""
scopes:
  - {id: testid, org: testorg, env: testenv, tenant_id: tenantid}
api_keys:
  - key: testapikey
    tenant_id: tenantid
    product: testproduct
    app: testapp
    developer: testdeveloper
    email: testdeveloper@test.com
"""
    )
    assert data == ScopeData(
        scopes=(ScopeEntry(id="testid", org="testorg", env="testenv", tenant_id="tenantid"),),
        api_keys=(
            KeyEntry(
                key="testapikey",
                tenant_id="tenantid",
                product="testproduct",
                app="testapp",
                developer="testdeveloper",
                email="testdeveloper@test.com",
            ),
        ),
    )


@pytest.mark.parametrize("end", ["", "\napi_keys:", "\napi_keys: []", "\napi_keys: ~"])
def test_api_keys_may_be_left_out(end: str) -> None:
    assert parse(f"scopes:\n  - {SCOPE}{end}\n".encode()).api_keys == ()


def test_no_scopes_at_all_are_fine_when_said() -> None:
    assert parse(b"scopes: []") == ScopeData(scopes=(), api_keys=())


@pytest.mark.parametrize("end", ["", ", developer: ~", ", developer: '', email: null"])
def test_an_app_may_have_no_developer(end: str) -> None:
    (key,) = parse(f"scopes: []\napi_keys: [{KEY[:-1]}{end}}}]".encode()).api_keys
    assert (key.developer, key.email) == ("", "")


def test_numbers_and_the_like_are_strings_when_quoted() -> None:
    text = "scopes: [{id: '1', org: \"no\", env: !!str 2024-01-01, tenant_id: '~'}]"
    assert parse(text.encode()).scopes == (ScopeEntry(id="1", org="no", env="2024-01-01", tenant_id="~"),)


def test_a_byte_order_mark_is_no_problem() -> None:
    assert parse(b"\xef\xbb\xbf" + GOOD.encode()) == parse(GOOD.encode())


def test_all_problems_are_reported_at_once_each_with_its_line() -> None:
    text = """\
scopes:
  - {id: 17, org: acme, env: prod, tenant_id: t}
  - {id: b, org: acme, tenant_id: t}
  - {id: c, org: '', env: on, tenant_id: t}
  - just text
api_keys:
  - {key: [k], tenant_id: t, prodct: p, app: a}
"""
    assert problems(text) == [
        "line 2: scopes: id should be a string, not int (put it in quotes)",
        "line 3: scopes: env is missing",
        "line 4: scopes: env should be a string, not bool (put it in quotes)",
        "line 4: scopes: org is empty",
        "line 5: an entry of scopes should be a mapping with id, org, env, tenant_id",
        "line 7: an entry of api_keys has no field 'prodct' (did you mean product?)",
        "line 7: api_keys: product is missing",
        "line 7: api_keys: key should be a string, not listing",
    ]


def test_an_id_that_stands_twice_is_a_problem() -> None:
    text = f"scopes:\n  - {SCOPE}\n  - {SCOPE.replace('testenv', 'prod')}\n"
    assert problems(text) == ["line 3: scopes: the id of line 2 again"]
    assert problems(f"scopes: [{SCOPE}, {SCOPE}]") == ["line 1: scopes: the id of line 1 again"]


def test_one_org_and_env_cannot_have_two_tenant_ids() -> None:
    other = SCOPE.replace("testid", "other")
    assert len(parse(f"scopes: [{SCOPE}, {other}]".encode()).scopes) == 2
    text = f"scopes:\n- {SCOPE}\n- {other.replace('tenantid', 'another')}"
    assert problems(text) == ["line 3: scopes: org and env of line 2 again, with another tenant_id"]


def test_a_key_may_have_several_products_but_one_app() -> None:
    second = KEY.replace("testproduct", "other")
    assert len(parse(f"scopes: []\napi_keys: [{KEY}, {second}]".encode()).api_keys) == 2
    assert problems(f"scopes: []\napi_keys:\n- {KEY}\n- {KEY}") == [
        "line 4: api_keys: the key of line 3 again, with the same product"
    ]
    assert problems(f"scopes: []\napi_keys:\n- {KEY}\n- {second.replace('testapp', 'other')}") == [
        "line 4: api_keys: the key of line 3 again, with another app, developer or email"
    ]


def test_one_key_may_belong_to_two_tenants() -> None:
    other = KEY.replace("tenantid", "another").replace("testapp", "other")
    assert len(parse(f"scopes: []\napi_keys: [{KEY}, {other}]".encode()).api_keys) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file is empty"),
        ("# nothing yet\n", "line 1: the file is empty"),
        ("~", "line 1: the file is empty"),
        ("scopes", "line 1: the file should be a mapping with scopes, api_keys"),
        ("[]", "line 1: the file should be a mapping with scopes, api_keys"),
        ("{}", "line 1: scopes: is missing"),
        ("api_keys: []", "line 1: scopes: is missing"),
        ("scopes:", "line 1: scopes: should be a list"),
        ("scopes: {}", "line 1: scopes: should be a list"),
        ("scopes: []\napi_keys: 1", "line 2: api_keys: should be a list"),
        ("scopes: []\nscopes: []", "line 2: scopes stands there twice"),
        ("scopes: []\nscope: []", "line 2: the file has no field 'scope' (did you mean scopes?)"),
        ("scopes: []\n? [a]\n: b", "line 2: the file has only scopes, api_keys"),
        ("scopes: []\n---\nscopes: []", "line 2: a second document begins here"),
        ("scopes: &a []\napi_keys: *a", "line 2: aliases (*name) are not understood here"),
        ("scopes: []\nscopes: [{a: *b}]", "line 2: aliases (*name) are not understood here"),
        ("[{a: *b}]", "line 1: aliases (*name) are not understood here"),
        ("scopes: []\nother: {a: [[[[[[[[]]]]]]]]}", "line 2: nested too deeply"),
        ("scopes: []\n? [[[[[[[[]]]]]]]]\n: b", "line 2: nested too deeply"),
        ("scopes: [[[[[[[[[[]]]]]]]]]]", "line 1: nested too deeply"),
        ("scopes: []\n  bad: 1", "line 2: not valid YAML: "),
        ("scopes: [\n\n", "line 3: not valid YAML: "),
        ("scopes: []\n\tx: 1", "line 2: not valid YAML: found character"),
        (
            "scopes: [{id: !uuid a, org: a, env: b, tenant_id: t}]",
            "line 1: scopes: id should be a string, not a value with a tag",
        ),
        (b"scopes: []\n# \xff", "line 2: not valid UTF-8"),
        (b"scopes: \x00", "not valid YAML: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str | bytes, problem: str) -> None:
    (said,) = problems(text)
    assert said.startswith(problem)


def test_a_lone_surrogate_is_a_problem_not_a_crash() -> None:
    (said,) = problems('scopes: [{id: "\\ud800", org: a, env: b, tenant_id: t}]')
    assert said.startswith("line 1:")


@pytest.mark.parametrize("open_bracket", ["[", "{a: ", "- ", "? ", "- - "])
def test_deep_nesting_neither_overflows_the_stack_nor_takes_long(open_bracket: str) -> None:
    assert problems(open_bracket * 100_000) == ["line 1: nested too deeply"]


def test_reading_costs_the_memory_of_an_entry_however_many_there_are() -> None:
    lines = (f"- {{id: scope-{number}, org: org-{number}, env: prod, tenant_id: t}}\n" for number in range(300))
    content = b"scopes:\n" + "".join(lines).encode()

    def count(root: yaml_tree.Node) -> int:
        assert isinstance(root, yaml_tree.Mapping)
        _, scopes = next(iter(root.members))
        assert isinstance(scopes, yaml_tree.Listing)
        return sum(1 for _ in scopes.items)

    tracemalloc.start()
    try:
        assert yaml_tree.read_tree(content, count) == 300
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000  # as one tree over 270,000


def test_an_api_key_never_stands_in_a_problem() -> None:
    secret = "s3cr3t"
    entry = f"key: {secret}, tenant_id: t, product: p"
    texts = [
        f"scopes: []\napi_keys:\n- {{{entry}, app: a}}\n- {{{entry}, app: a}}\n- {{{entry}, app: b}}",
        f"scopes: []\napi_keys:\n- {{{entry}, app: 1}}",
        f"scopes: []\napi_keys: {secret}",
        f"scopes: []\napi_keys: [{secret}, [{secret}]]",
        f"scopes: []\napi_keys:\n- {{{entry}, app: '{secret}",
        f"scopes: []\napi_keys:\n- {{{entry}: : app: a}}",
        f"scopes: []\napi_keys:\n- {{{entry}, app: *{secret}}}",
        f"scopes: []\napi_keys:\n- {{key: !{secret} x, tenant_id: t, product: p, app: a}}",
        f"scopes: []\napi_keys:\n- {{key: !{secret}!x, tenant_id: t, product: p, app: a}}",
        f"scopes: []\napi_keys:\n- {secret}: {{tenant_id: t, product: p, app: a}}",
    ]
    for text in texts:
        assert secret not in "".join(problems(text)), text


def test_an_error_lists_the_first_problems_and_counts_the_rest() -> None:
    text = "scopes:\n" + "  - {}\n" * 25
    with pytest.raises(SourceError) as caught:
        parse(text.encode())
    assert len(caught.value.problems) == 100
    assert str(caught.value).count("is missing") == MAX_PROBLEMS
    assert str(caught.value).endswith("and 80 more")


def is_answered(content: bytes) -> bool:
    """Return whether this is data, or a problem that is said; any other exception comes out as itself."""
    try:
        return isinstance(parse(content), ScopeData)
    except SourceError as error:
        return bool(error.problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_a_problem(content: bytes) -> None:
    assert is_answered(content)


names = st.sampled_from(["scopes", "api_keys", "id", "key", "tenant_id", "é", "~", "<<", "\\ud800"])
marks = st.sampled_from([*":,-?{}[]'\"|>#&*!% \n\t", ": ", "- ", "\n- ", "\n  ", "---", "...", "&a", "*a", "!!str "])
pieces = st.one_of(names, marks)


@given(st.lists(pieces, max_size=30).map("".join))
def test_any_text_that_looks_like_yaml_is_data_or_a_problem(text: str) -> None:
    assert is_answered(text.encode())


fields = st.sampled_from(
    ["id", "org", "env", "tenant_id", "key", "product", "app", "developer", "email", "scopes", "x"]
)
values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=4))
entries = st.one_of(values, st.dictionaries(fields, values, max_size=6), st.lists(values, max_size=2))
sections = st.one_of(values, st.lists(entries, max_size=4), st.dictionaries(fields, values, max_size=2))


@given(st.one_of(entries, st.dictionaries(st.sampled_from(["scopes", "api_keys", "x"]), sections)))
def test_any_document_is_data_or_a_problem(document: object) -> None:
    assert is_answered(yaml.safe_dump(document, allow_unicode=True).encode())


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(st.lists(st.tuples(texts, texts, texts, texts), max_size=4, unique_by=lambda row: row[0]))
def test_what_is_written_as_yaml_is_read_back(rows: list[tuple[str, str, str, str]]) -> None:
    tenant_ids = {row[1:3]: row[3] for row in rows}
    entries = [{"id": uuid, "org": org, "env": env, "tenant_id": tenant_ids[org, env]} for uuid, org, env, _ in rows]
    text = yaml.safe_dump({"scopes": entries})
    assert parse(text.encode()).scopes == tuple(ScopeEntry(**entry) for entry in entries)


def test_the_example_has_the_test_data_of_the_seed_and_three_tenants() -> None:
    data = parse(EXAMPLE.read_bytes())
    assert {(s.id, s.org, s.env) for s in data.scopes} == {
        ("testid", "testorg", "testenv"),
        ("7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11", "acme", "prod"),
        ("c2a7e0d4-58f3-4c19-8b6a-91e47d20b3f5", "globex", "prod"),
        ("0e94f6b1-7d3c-42a8-a5e2-6c8b15f97d40", "initech", "test"),
    }
    assert data.scopes[0].tenant_id == "tenantid"
    assert data.api_keys[0] == KeyEntry(
        key="testapikey",
        tenant_id="tenantid",
        product="testproduct",
        app="testapp",
        developer="testdeveloper",
        email="testdeveloper@test.com",
    )


@pytest.mark.parametrize("org", ["acme", "globex", "initech"])
def test_each_tenant_of_the_example_has_six_to_ten_keys_over_several_products(org: str) -> None:
    data = parse(EXAMPLE.read_bytes())
    (tenant_id,) = {s.tenant_id for s in data.scopes if s.org == org}
    keys = [k for k in data.api_keys if k.tenant_id == tenant_id]
    assert 6 <= len({k.key for k in keys}) <= 10
    assert min(len({getattr(k, name) for k in keys}) for name in ("product", "app", "developer")) >= 3


def test_the_example_shows_a_company_app_and_a_key_with_two_products() -> None:
    keys = parse(EXAMPLE.read_bytes()).api_keys
    assert any(not k.developer for k in keys)
    assert len(keys) > len({(k.tenant_id, k.key) for k in keys})


def test_the_example_in_the_examples_folder_is_the_one_that_is_shipped() -> None:
    linked = Path(__file__).parents[3] / "examples/scopes.yaml"
    assert linked.resolve() == EXAMPLE.resolve()
    assert linked.read_bytes() == EXAMPLE.read_bytes()
