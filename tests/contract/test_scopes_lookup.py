"""One suite for whatever answers who a scope, an org and env, or an API key is."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apidanalytics import layout
from apidanalytics.clock import SystemClock
from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.compile import compile_database
from apidanalytics.scopes.lookup import CachedScopes, UncachedScopes
from tests.unit.scopes.samples import TEST_DEVELOPER, TEST_TENANT, Oracle, Rows, seed_rows, who, write_database

Scopes = CachedScopes | UncachedScopes | Oracle
OpenScopes = Callable[[Rows], Scopes]


def cached(path: Path) -> CachedScopes:
    return CachedScopes(path, max_keys=100, refresh_interval=1800.0, clock=SystemClock())


def plain(directory: Path, rows: Rows) -> Path:
    return write_database(directory / "plain.db", rows)


def prefixed(directory: Path, rows: Rows) -> Path:
    return write_database(directory / "prefixed.db", rows, prefixed=True, wal=True)


def upper(directory: Path, rows: Rows) -> Path:
    return write_database(directory / "upper.db", rows, prefixed=True, upper=True)


def compiled(directory: Path, rows: Rows) -> Path:
    target = directory / "compiled.db"
    compile_database(target, prefixed(directory, rows))
    return target


FILES = [plain, prefixed, upper, compiled]
LOOKUPS = [cached, UncachedScopes]
EVERY = [*itertools.product(LOOKUPS, FILES), None]


@pytest.fixture(params=EVERY, ids=lambda p: "oracle" if p is None else f"{p[0].__name__}-{p[1].__name__}")
def open_scopes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenScopes]:
    """Return a function that serves rows: from a database in each layout, cached and not, and the oracle itself."""
    with ExitStack() as stack:

        def serve(rows: Rows) -> Scopes:
            if request.param is None:
                return Oracle(rows)
            lookup, write = request.param
            return stack.enter_context(closing(lookup(write(tmp_path, rows))))

        yield serve


def test_a_valid_scope_uuid_gives_testorg_and_testenv(open_scopes: OpenScopes) -> None:
    assert open_scopes(seed_rows()).tenant("testid") == TEST_TENANT


def test_wrongid_is_no_tenant(open_scopes: OpenScopes) -> None:
    assert open_scopes(seed_rows()).tenant("wrongid") is None


def test_a_valid_tenant_id_and_api_key_give_all_right_data(open_scopes: OpenScopes) -> None:
    assert who(open_scopes(seed_rows()), TEST_TENANT, "testapikey") == TEST_DEVELOPER


@pytest.mark.parametrize(
    ("tenant_id", "key"), [("wrongid", "wrongapikey"), ("tenantid", "wrongapikey"), ("wrongid", "testapikey")]
)
def test_wrongapikey_is_nobody(open_scopes: OpenScopes, tenant_id: str, key: str) -> None:
    tenant = Tenant(org="testorg", env="testenv", tenant_id=tenant_id)
    assert who(open_scopes(seed_rows()), tenant, key) is None


def test_org_and_env_give_the_same_tenant_as_its_scope(open_scopes: OpenScopes) -> None:
    scopes = open_scopes(seed_rows())
    assert scopes.tenant_of("testorg", "testenv") == scopes.tenant("testid")


@pytest.mark.parametrize(("org", "env"), [("testorg", "prod"), ("acme", "testenv"), ("testenv", "testorg"), ("", "")])
def test_org_and_env_must_both_be_right(open_scopes: OpenScopes, org: str, env: str) -> None:
    assert open_scopes(seed_rows()).tenant_of(org, env) is None


@pytest.mark.parametrize(
    "text", ["", "TESTID", "testid ", "testid\0", "%", "test_d", "' OR 1=1 --", "\ud800", "x" * 100_000]
)
def test_whatever_a_client_sends_is_unknown_and_nothing_worse(open_scopes: OpenScopes, text: str) -> None:
    scopes = open_scopes(seed_rows())
    assert scopes.tenant(text) is None
    assert scopes.tenant_of(text, "testenv") is None
    assert who(scopes, TEST_TENANT, text) is None


@pytest.mark.parametrize("order", [["10", "9", "2b"], ["9", "2b", "10"], ["2b", "10", "9"]])
def test_of_several_products_the_one_with_the_lowest_id_as_text_counts(
    open_scopes: OpenScopes, order: list[str]
) -> None:
    rows = seed_rows()
    rows.mapper = [("tenantid", "testapikey", "testappid", product) for product in order]
    rows.products = [("9", "tenantid", "a"), ("2b", "tenantid", "b"), ("10", "tenantid", "c")]
    developer = who(open_scopes(rows), TEST_TENANT, "testapikey")
    assert developer is not None
    assert developer.api_product == "c"


def test_of_several_apps_with_that_product_the_one_with_the_lowest_id_counts(open_scopes: OpenScopes) -> None:
    rows = seed_rows()
    rows.mapper = [("tenantid", "testapikey", app, "testproductid") for app in ("b", "a", "c")]
    rows.apps = [("a", "tenantid", "z", None), ("b", "tenantid", "y", None), ("c", "tenantid", "x", None)]
    developer = who(open_scopes(rows), TEST_TENANT, "testapikey")
    assert developer == Developer(api_product="testproduct", developer_app="z")


def test_rows_that_contradict_each_other_are_answered_by_the_lowest_values(open_scopes: OpenScopes) -> None:
    rows = seed_rows()
    rows.apps = [("testappid", "tenantid", None, "d2"), ("testappid", "tenantid", "", "d1")]
    rows.developers = [("d1", "tenantid", "first", None), ("d2", "tenantid", "second", None)]
    developer = who(open_scopes(rows), TEST_TENANT, "testapikey")
    assert developer == Developer(api_product="testproduct", developer="first")


@pytest.mark.parametrize("hole", ["app", "product"])
def test_an_empty_id_is_no_id_though_there_is_a_row_that_has_it(open_scopes: OpenScopes, hole: str) -> None:
    rows = seed_rows()
    app, product = ("", "testproductid") if hole == "app" else ("testappid", "")
    rows.mapper = [("tenantid", "testapikey", app, product)]
    rows.apps.append(("", "tenantid", "app without an id", None))
    rows.products.append(("", "tenantid", "product without an id"))
    assert who(open_scopes(rows), TEST_TENANT, "testapikey") is None


def test_a_product_that_does_not_exist_is_passed_over(open_scopes: OpenScopes) -> None:
    rows = seed_rows()
    rows.mapper.append(("tenantid", "testapikey", "testappid", "a product that was deleted"))
    assert who(open_scopes(rows), TEST_TENANT, "testapikey") == TEST_DEVELOPER


@pytest.mark.parametrize("developer_id", [None, "", "a developer that was deleted"])
def test_an_app_without_a_developer_gives_product_and_app_only(
    open_scopes: OpenScopes, developer_id: str | None
) -> None:
    rows = seed_rows()
    rows.apps = [("testappid", "tenantid", "testapp", developer_id)]
    rows.developers += [("", "tenantid", "nobody", "nobody@test.com"), (None, "tenantid", "null", "null@test.com")]
    expected = Developer(api_product="testproduct", developer_app="testapp")
    assert who(open_scopes(rows), TEST_TENANT, "testapikey") == expected


def test_null_in_the_data_is_an_empty_string(open_scopes: OpenScopes) -> None:
    rows = seed_rows()
    rows.products = [("testproductid", "tenantid", None)]
    rows.apps = [("testappid", "tenantid", None, "testdeveloperid")]
    rows.developers = [("testdeveloperid", "tenantid", None, None)]
    assert who(open_scopes(rows), TEST_TENANT, "testapikey") is None


def test_equal_ids_in_two_tenants_never_mix(open_scopes: OpenScopes) -> None:
    tenants = [Tenant(org=f"org{n}", env="prod", tenant_id=f"tenant{n}") for n in (1, 2)]
    rows = Rows()
    for t in tenants:
        rows.scopes.append((f"scope of {t.tenant_id}", t.tenant_id, t.org, t.env))
        rows.mapper.append((t.tenant_id, "key", "app", "product"))
        rows.products.append(("product", t.tenant_id, f"product of {t.tenant_id}"))
        rows.apps.append(("app", t.tenant_id, f"app of {t.tenant_id}", "developer"))
        rows.developers.append(("developer", t.tenant_id, f"developer of {t.tenant_id}", f"mail of {t.tenant_id}"))
    scopes = open_scopes(rows)
    for t in tenants:
        assert scopes.tenant(f"scope of {t.tenant_id}") == t
        assert who(scopes, t, "key") == Developer(
            api_product=f"product of {t.tenant_id}",
            developer_app=f"app of {t.tenant_id}",
            developer_email=f"mail of {t.tenant_id}",
            developer=f"developer of {t.tenant_id}",
        )


@pytest.mark.parametrize("table", ["products", "apps", "developers"])
def test_what_only_another_tenant_has_is_not_there(open_scopes: OpenScopes, table: str) -> None:
    rows = seed_rows()
    setattr(rows, table, [(row[0], "another tenant", *row[2:]) for row in getattr(rows, table)])
    found = who(open_scopes(rows), TEST_TENANT, "testapikey")
    assert found == (Developer(api_product="testproduct", developer_app="testapp") if table == "developers" else None)


@pytest.mark.parametrize("tenant_id", ["", None])
def test_a_scope_without_a_tenant_id_is_a_tenant_without_developers(
    open_scopes: OpenScopes, tenant_id: str | None
) -> None:
    rows = seed_rows()
    rows.scopes = [("testid", tenant_id, "testorg", "testenv")]
    rows.mapper, rows.products = [(tenant_id, "k", "a", "p")], [("p", tenant_id, "product")]
    rows.apps = [("a", tenant_id, "app", None)]
    scopes = open_scopes(rows)
    tenant = scopes.tenant("testid")
    assert tenant == Tenant(org="testorg", env="testenv", tenant_id="")
    assert who(scopes, tenant, "k") is None


@pytest.mark.parametrize("hole", [0, 2, 3])
@pytest.mark.parametrize("nothing", ["", None])
def test_a_row_without_id_org_or_env_is_no_scope(open_scopes: OpenScopes, hole: int, nothing: str | None) -> None:
    rows = seed_rows()
    row = ["half", "tenantid", "halforg", "halfenv"]
    row[hole] = nothing
    rows.scopes.append(tuple(row))
    scopes = open_scopes(rows)
    assert scopes.tenant("testid") == TEST_TENANT
    assert scopes.tenant(row[0] or "") is None
    assert scopes.tenant_of(row[2] or "", row[3] or "") is None


def test_of_several_scopes_of_one_org_and_env_the_lowest_id_counts(open_scopes: OpenScopes) -> None:
    rows = Rows(scopes=[("b", "2", "acme", "prod"), ("a", "1", "acme", "prod"), ("c", "3", "acme", "prod")])
    scopes = open_scopes(rows)
    assert scopes.tenant_of("acme", "prod") == Tenant(org="acme", env="prod", tenant_id="1")
    assert [scopes.tenant(uuid).tenant_id for uuid in "abc"] == ["1", "2", "3"]


def test_names_that_are_not_ascii_come_out_as_they_are(open_scopes: OpenScopes) -> None:
    rows = Rows(
        scopes=[("пример", "テナント", "Zoë ~ Söhne/..", "prod\n")],
        mapper=[("テナント", "schlüssel", "📱", "🍎")],
        products=[("🍎", "テナント", "“Äpfel”")],
        apps=[("📱", "テナント", "café\0", "ø")],
        developers=[("ø", "テナント", "Ødegård", "ø@exämple.com")],
    )
    scopes = open_scopes(rows)
    tenant = scopes.tenant("пример")
    assert tenant == scopes.tenant_of("Zoë ~ Söhne/..", "prod\n")
    assert who(scopes, tenant, "schlüssel") == Developer(
        api_product="“Äpfel”", developer_app="café\0", developer_email="ø@exämple.com", developer="Ødegård"
    )


def some(*likely: str) -> st.SearchStrategy[str | None]:
    """Return ids that often match, and now and then nothing or something else."""
    return st.sampled_from([*likely * 4, "", None, "A"])


tenants, keys, ids = some("t", "u"), some("k", "l"), some("a", "b")
products, apps, developers = some("9", "10"), some("x", "y"), some("d", "e")
names = st.one_of(st.none(), st.sampled_from(["", "1", "2", "3"]), st.text(max_size=3))
random_rows = st.builds(
    Rows,
    scopes=st.lists(st.tuples(ids, tenants, some("o"), some("e")), max_size=6),
    mapper=st.lists(st.tuples(tenants, keys, apps, products), min_size=4, max_size=12),
    products=st.lists(st.tuples(products, tenants, names), min_size=4, max_size=12),
    apps=st.lists(st.tuples(apps, tenants, names, developers), min_size=4, max_size=12),
    developers=st.lists(st.tuples(developers, tenants, names, names), max_size=12),
)


def answers(scopes: Scopes) -> list[object]:
    """Ask everything there is to ask."""
    odd = ["", "A", "unknown"]
    tenants = [Tenant(org="o", env="e", tenant_id=tenant_id) for tenant_id in ["t", "u", *odd]]
    pairs = [(tenant, key) for tenant in tenants for key in ["k", "l", *odd]]
    return [
        [scopes.tenant(uuid) for uuid in ["a", "b", *odd]],
        [scopes.tenant_of(org, env) for org in ["o", *odd] for env in ["e", *odd]],
        [who(scopes, *pair) for pair in pairs],
        [who(scopes, *pair) for pair in pairs],  # now from memory, where there is one
    ]


@given(rows=random_rows)
@settings(max_examples=100, deadline=None)
def test_every_lookup_agrees_with_the_oracle_on_any_data(rows: Rows) -> None:
    expected = answers(Oracle(rows))
    with tempfile.TemporaryDirectory() as directory:
        for number, (lookup, write) in enumerate(itertools.product(LOOKUPS, [plain, compiled])):
            place = Path(directory) / str(number)
            place.mkdir()
            with closing(lookup(write(place, rows))) as scopes:
                assert answers(scopes) == expected


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("write", FILES)
def test_a_tenant_name_may_have_180_bytes_once_encoded_and_no_more(tmp_path: Path, lookup, write) -> None:
    fits, over = "ü" * 29, "ü" * 29 + "x"  # 6 bytes for each ü, and ~prod
    assert len(layout.format_tenant(fits, "prod1")) == layout.MAX_TENANT_BYTES
    rows = Rows(scopes=[("fits", "t", fits, "prod1"), ("over", "t", over, "prod1")])
    with closing(lookup(write(tmp_path, rows))) as scopes:
        assert scopes.tenant("fits") == scopes.tenant_of(fits, "prod1") == Tenant(org=fits, env="prod1", tenant_id="t")
        assert scopes.tenant("over") is None
        assert scopes.tenant_of(over, "prod1") is None
