import json
from typing import Any

import msgspec
import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest import enrich
from apidanalytics.ingest.decode import Members
from apidanalytics.ingest.enrich import Enrichment
from apidanalytics.model import Developer
from tests.unit.ingest.batches import (
    DEVELOPER_ADDED,
    EMPTY_DEVELOPER,
    OTHER_TENANT,
    TENANT,
    TENANT_ADDED,
    FakeScopes,
)


@pytest.fixture
def scopes() -> FakeScopes:
    return FakeScopes()


def enriched(
    record: bytes | dict[str, Any], scopes: FakeScopes, *, overwrites: bool = False, adds_developer: bool = True
) -> str:
    enrichment = Enrichment(scopes, overwrites=overwrites, adds_developer=adds_developer)
    text = record if isinstance(record, bytes) else json.dumps(record, separators=(",", ":")).encode()
    pieces = enrichment.pieces(msgspec.Raw(text), msgspec.json.decode(text, type=Members), TENANT)
    line = b"".join(pieces).decode()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    return line[:-1]


def added(record: dict[str, Any], scopes: FakeScopes, **options: bool) -> dict[str, Any]:
    """Return what is there after enrichment and was not before, and check that all else is as before."""
    after = json.loads(enriched(record, scopes, **options))
    assert list(after)[: len(record)] == list(record)
    return {name: value for name, value in after.items() if name not in record or record[name] != value}


def test_organization_and_environment_are_added_behind_the_last_member(scopes: FakeScopes):
    assert enriched(b'{"a":1.0}', scopes) == '{"a":1.0,"organization":"testorg","environment":"testenv"}'


def test_the_developer_behind_the_api_key_is_added(scopes: FakeScopes):
    assert added({"client_id": "testapikey"}, scopes) == TENANT_ADDED | DEVELOPER_ADDED


def test_wrongapikey_adds_four_empty_values(scopes: FakeScopes):
    assert added({"client_id": "wrongapikey"}, scopes) == TENANT_ADDED | EMPTY_DEVELOPER


def test_wrongid_with_a_known_api_key_adds_four_empty_values(scopes: FakeScopes):
    enrichment = Enrichment(scopes, overwrites=False, adds_developer=True)
    of_tenant, tails = enrichment.additions(OTHER_TENANT)
    assert (
        json.loads(b'{"a":1' + of_tenant + tails["testapikey"])
        == {"a": 1, "organization": "otherorg", "environment": "otherenv"} | EMPTY_DEVELOPER
    )


@pytest.mark.parametrize("client_id", [None, ""])
def test_without_an_api_key_nothing_is_looked_up(client_id: str | None, scopes: FakeScopes):
    assert added({"client_id": client_id}, scopes) == TENANT_ADDED
    assert added({"a": 1}, scopes) == TENANT_ADDED
    assert scopes.asked == []


@pytest.mark.parametrize("name", DEVELOPER_ADDED)
@pytest.mark.parametrize("value", ["mine", "", None, 5, [1]])
def test_a_developer_member_that_is_there_stays_even_if_it_is_null(name: str, value: Any, scopes: FakeScopes):
    others = {other: text for other, text in DEVELOPER_ADDED.items() if other != name}
    assert added({name: value, "client_id": "testapikey"}, scopes) == TENANT_ADDED | others


def test_developer_info_can_be_turned_off(scopes: FakeScopes):
    assert added({"client_id": "testapikey"}, scopes, adds_developer=False) == TENANT_ADDED
    assert scopes.asked == []


@pytest.mark.parametrize("blank", ["null", '""'])
def test_a_blank_organization_or_environment_is_filled_in_its_place(blank: str, scopes: FakeScopes):
    record = f'{{"organization":{blank},"a":1,"environment" : {blank}}}'.encode()
    assert enriched(record, scopes) == '{"organization":"testorg","a":1,"environment" : "testenv"}'


def test_another_tenant_in_the_record_is_kept(scopes: FakeScopes):
    record = b'{"organization":"o","environment":"e"}'
    assert enriched(record, scopes) == record.decode()


def test_another_tenant_in_the_record_is_replaced_where_that_is_configured(scopes: FakeScopes):
    record = b'{"organization":"o","environment":"e"}'
    assert enriched(record, scopes, overwrites=True) == '{"organization":"testorg","environment":"testenv"}'


def test_an_equal_value_stays_as_it_was_written(scopes: FakeScopes):
    record = b'{"organization":"test\\u006frg","environment":"testenv"}'
    assert enriched(record, scopes, overwrites=True) == record.decode()


def test_of_a_member_that_comes_twice_the_last_one_is_filled(scopes: FakeScopes):
    record = b'{"organization":"o","organization":null,"environment":"","environment":"e"}'
    assert enriched(record, scopes) == record.decode().replace("null", '"testorg"')


def test_overwrite_replaces_every_one_of_a_member_that_comes_twice(scopes: FakeScopes):
    record = b'{"organization":5,"organization":"testorg","environment":"testenv"}'
    assert enriched(record, scopes, overwrites=True) == record.decode().replace("5", '"testorg"')


def test_of_two_api_keys_in_a_record_the_last_counts(scopes: FakeScopes):
    record = b'{"client_id":"wrongapikey","client_id":"testapikey"}'
    assert json.loads(enriched(record, scopes))["developer"] == "testdeveloper"


def test_nothing_is_added_where_everything_is_there(scopes: FakeScopes):
    record = json.dumps(TENANT_ADDED | EMPTY_DEVELOPER | {"client_id": "testapikey"}).encode()
    assert enriched(record, scopes) == record.decode()


def test_scope_data_are_written_as_valid_json_whatever_they_hold(scopes: FakeScopes):
    scopes.developers["tenantid", "k"] = Developer(developer='"\\\n\x00 é')
    for more in ({}, {"developer_app": "mine"}):
        assert json.loads(enriched({"client_id": "k", **more}, scopes))["developer"] == '"\\\n\x00 é'


def test_a_failed_developer_lookup_is_a_search_error(scopes: FakeScopes):
    scopes.developers_fail = True
    with pytest.raises(Refusal, match=r"^500 INTERNAL_SEARCH_ERROR: Developer lookup failed$"):
        enriched({"client_id": "testapikey"}, scopes)


def test_what_is_added_is_that_of_each_tenant_though_their_developer_data_is_the_same(scopes: FakeScopes):
    enrichment = Enrichment(scopes, overwrites=False, adds_developer=True)
    sister = type(TENANT)(org=TENANT.org, env="other", tenant_id=TENANT.tenant_id)
    for tenant in (TENANT, sister, TENANT):
        of_tenant, tails = enrichment.additions(tenant)
        assert b"testapp" in tails["testapikey"]
        assert b'"environment":"%b"' % tenant.env.encode() in of_tenant


def test_two_scopes_of_one_org_and_env_keep_their_own_developers(scopes: FakeScopes):
    twin = type(TENANT)(org=TENANT.org, env=TENANT.env, tenant_id="twin")
    enrichment = Enrichment(scopes, overwrites=False, adds_developer=True)
    assert b'"developer":"testdeveloper"' in enrichment.additions(TENANT)[1]["testapikey"]
    assert b'"developer":""' in enrichment.additions(twin)[1]["testapikey"]


def test_what_is_kept_of_tenants_is_bounded(scopes: FakeScopes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enrich, "MAX_TENANTS", 10)
    enrichment = Enrichment(scopes, overwrites=False, adds_developer=True)
    for number in range(100):
        tenant = type(TENANT)(org=f"org{number}", env="e", tenant_id="t")
        assert tenant.org.encode() in enrichment.additions(tenant)[0]
        assert int(repr(enrichment).split()[2]) <= 10
