"""The tests of the first version (api_test.go, common_helper_test.go and the test data of the suite), one for one."""

import json

import pytest

from apidanalytics.ingest.enrich import DEVELOPER_MEMBERS
from tests.unit.ingest.batches import GOOD, NOW_MS, Api, body_of, good

EXAMPLE = {
    "records": [
        {
            "response_status_code": 400,
            "client_received_start_timestamp": 1462850097576,
            "client_id": "0GJKn7EQmNkKYcGL7x3gHaawWLs5gUPr",
        },
        {
            "response_status_code": 200,
            "client_id": "2ngXgr6Rl2PXWiEmbt8zCkWY3Ptjb8ep",
            "request_verb": "GET",
            "api_product": " test_product",
            "access_token": "fewGWG343LDV346345YCDS",
            "apiproxy": "OAuthProxy",
            "apiproxy_revision": "2",
            "client_received_start_timestamp": 1462850097576,
            "client_received_end_timestamp": 1462850097580,
        },
    ]
}


@pytest.fixture
def api() -> Api:
    return Api()


class TestSaveAnalyticsRecord:
    def test_valid_scopeuuid_should_successfully_return(self, api: Api):
        assert api.post(body_of(GOOD), path="/analytics/testid")[0] == 200

    def test_invalid_scopeuuid_should_return_bad_request(self, api: Api):
        assert api.post(body_of(GOOD), path="/analytics/wrongId") == (
            400,
            "UNKNOWN_SCOPE",
            "No tenant found for this scopeuuid: wrongId",
        )

    def test_a_form_instead_of_json_which_is_what_the_first_version_posted_is_refused(self, api: Api):
        answer = api.post(b"bundle_scope_uuid=testid", content_type=None)
        assert answer[:2] == (400, "UNSUPPORTED_CONTENT_TYPE")


class TestGetTenantForScope:
    def test_testid_is_testorg_and_testenv(self, api: Api):
        api.post(body_of(GOOD), path="/analytics/testid")
        assert api.spool.batches[0].tenant == "testorg~testenv"
        assert api.spool.records[0]["organization"] == "testorg"
        assert api.spool.records[0]["environment"] == "testenv"

    def test_wrongid_is_an_unknown_scope(self, api: Api):
        assert api.post(body_of(GOOD), path="/analytics/wrongid")[1] == "UNKNOWN_SCOPE"
        assert api.spool.batches == []


class TestGetDeveloperInfo:
    def test_testapikey_of_tenantid_has_all_data(self, api: Api):
        api.post(body_of(good(client_id="testapikey")), path="/analytics/testid")
        (record,) = api.spool.records
        assert record["api_product"] == "testproduct"
        assert record["developer"] == "testdeveloper"
        assert record["developer_email"] == "testdeveloper@test.com"
        assert record["developer_app"] == "testapp"

    @pytest.mark.parametrize(("scope", "api_key"), [("testid", "wrongapikey"), ("otherid", "testapikey")])
    def test_wrongapikey_or_wrongid_has_four_empty_values(self, api: Api, scope: str, api_key: str):
        api.post(body_of(good(client_id=api_key)), path=f"/analytics/{scope}")
        (record,) = api.spool.records
        assert [record[name] for name in DEVELOPER_MEMBERS] == ["", "", "", ""]


class TestApiDescription:
    def test_the_example_of_the_first_api_yaml_is_accepted(self, api: Api):
        assert api.post(json.dumps(EXAMPLE).encode())[0] == 200
        first, second = api.spool.records
        assert list(first)[:3] == list(EXAMPLE["records"][0])
        assert first["organization"] == "testorg"
        assert first["developer"] == ""
        assert second["api_product"] == " test_product"
        assert second["developer_app"] == ""

    def test_only_the_start_timestamp_is_required(self, api: Api):
        assert api.post(body_of({"client_received_start_timestamp": NOW_MS}))[0] == 200
        assert api.post(body_of({"response_status_code": 400}))[:2] == (400, "MISSING_FIELD")
