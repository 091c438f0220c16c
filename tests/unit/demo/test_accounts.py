"""Who plays, read from a scopes file."""

import pytest

from apidanalytics.demo import accounts
from tests.unit.demo.cast import ACCOUNTS, ACME, GLOBEX


def test_all_scopes_of_an_org_and_env_belong_to_one_account():
    assert [account.name for account in ACCOUNTS] == ["acme~prod", "globex~prod"]
    assert ACME.scopes == ("scope-a", "scope-a2")


def test_equal_api_keys_of_two_tenants_stay_apart():
    assert ACME.developer("k1")["developer"] == "dee"
    assert GLOBEX.developer("k1")["developer"] == "gus"


@pytest.mark.parametrize(("key", "product"), [("k2", "gold"), ("nobody's", "")])
def test_what_is_not_known_of_a_key_is_an_empty_string(key, product):
    developer = ACME.developer(key)
    assert developer["api_product"] == product
    assert developer["developer_email"] == developer["developer"] == ""


@pytest.mark.parametrize("products", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_of_several_products_of_a_key_the_lowest_counts(products):
    rows = [{"key": "k", "tenant_id": "t", "product": product, "app": "x"} for product in products]
    scope = {"id": "s", "org": "o", "env": "e", "tenant_id": "t"}
    (account,) = accounts.parse({"scopes": [scope], "api_keys": rows})
    assert account.developer("k")["api_product"] == "a"


def test_the_accounts_with_the_most_keys_play():
    assert accounts.busiest(reversed(ACCOUNTS), 1) == (ACME,)
    assert accounts.busiest(ACCOUNTS, 5) == ACCOUNTS


def test_a_file_is_read_as_its_document(tmp_path):
    path = tmp_path / "scopes.yaml"
    path.write_text("scopes:\n  - {id: s, org: o, env: e, tenant_id: t}\n")
    (account,) = accounts.load(path)
    assert (account.org, account.env, account.scopes, dict(account.developers)) == ("o", "e", ("s",), {})
