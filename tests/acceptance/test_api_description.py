"""``api.yaml`` describes the data API as it is: held against the code, and against the running service."""

import gzip
import json
import secrets
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

import apidanalytics
from apidanalytics.errors import ErrorCode
from apidanalytics.ingest.busy import Busy
from tests.harness import ServiceProcess

DESCRIPTION = Path(__file__).parents[2] / "api.yaml"
DOCUMENT = yaml.safe_load(DESCRIPTION.read_text())
EXAMPLES = DOCUMENT["components"]["examples"]
CONTRACT_REASONS = {
    # every reason of the contract's table
    "Service is not initialized completely",
    "Only supported content type is application/json",
    "No tenant found for this scopeuuid: wrongid",
    "Tenant lookup failed",
    "Only supported content encoding is gzip",
    "Gzip Encoded data cannot be read",
    "Not a valid JSON payload",
    "Missing Required field: organization",
    "Missing Required field: environment",
    "organization should be a string",
    "No tenant found for this org: wrongorg and env: wrongenv",
    "No analytics records in the payload",
    "records should be a list of analytics records",
    "Each Analytics record in records should be a json object",
    "Missing Required field: client_received_start_timestamp",
    "Missing Required field: client_received_end_timestamp",
    "client_received_start_timestamp and client_received_end_timestamp has to be number",
    "client_received_start_timestamp or client_received_end_timestamp cannot be 0",
    "client_received_start_timestamp > client_received_end_timestamp",
    "client_received_start_timestamp cannot be after current time",
    "client_received_start_timestamp cannot be older than 90 days",
    "client_id should be a string",
}
QUIET = settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_it_is_a_valid_description():
    schemathesis.openapi.from_path(DESCRIPTION).validate()
    assert DOCUMENT["info"]["version"] == apidanalytics.__version__


def test_every_error_code_is_described_and_has_an_example():
    codes = {code.value for code in ErrorCode}
    assert set(DOCUMENT["components"]["schemas"]["Error"]["properties"]["errorCode"]["enum"]) == codes
    assert {example["value"]["errorCode"] for example in EXAMPLES.values()} == codes


def test_every_example_is_used_and_every_reason_of_the_contract_and_of_being_busy_is_one():
    used = {
        name
        for response in DOCUMENT["components"]["responses"].values()
        for content in response.get("content", {}).values()
        for name in content.get("examples", {})
    }
    assert used == set(EXAMPLES)
    reasons = {example["value"]["reason"] for example in EXAMPLES.values()}
    assert reasons >= CONTRACT_REASONS | {busy.reason for busy in Busy}


@pytest.fixture(scope="module")
def service(free_port):
    """One service for the whole module."""
    directory = Path(tempfile.mkdtemp(prefix="apa-"))
    settings = {"api_listen": f"127.0.0.1:{free_port()}", "local_storage_path": directory, "apidanalytics_workers": 1}
    with ServiceProcess(settings) as running:
        running.start()
        yield running
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def api(service):
    """The description, with the running service behind it."""
    schema = schemathesis.openapi.from_path(DESCRIPTION)
    schema.config.update(base_url=service.base_url)
    return schema


def as_it_should_be(case):
    """Make of a generated batch one for an existing tenant and a new key, with what else a schema cannot state."""
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:200]}-{secrets.token_hex(8)}"
    if "bundle_scope_uuid" in (case.path_parameters or {}):
        case.path_parameters["bundle_scope_uuid"] = "testid"
    else:
        case.body |= {"organization": "testorg", "environment": "testenv"}
    for record in case.body["records"]:
        if isinstance(end := record.get("client_received_end_timestamp"), int | float):
            start = record["client_received_start_timestamp"]
            record |= {
                "client_received_start_timestamp": min(start, end),
                "client_received_end_timestamp": max(start, end),
            }


def send(case):
    """Send a case, zipped when it says so, and check the answer against the description."""
    body = json.dumps(case.body, allow_nan=False).encode()
    headers = {"Content-Type": "application/json", **(case.headers or {})}
    response = case.call(
        data=gzip.compress(body) if headers.get("Content-Encoding") == "gzip" else body, headers=headers
    )
    case.validate_response(response)
    return response


@pytest.mark.parametrize("path", ["/analytics/{bundle_scope_uuid}", "/analytics"])
def test_what_the_description_allows_is_accepted(api, path):
    @QUIET
    @given(case=api[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def accepted(case):
        as_it_should_be(case)
        response = send(case)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == ["application/json; charset=UTF-8"]

    accepted()


@pytest.mark.parametrize("path", ["/analytics/{bundle_scope_uuid}", "/analytics"])
def test_what_it_does_not_allow_is_refused_as_described(api, path):
    @QUIET
    @given(case=api[path]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def refused(case):
        response = case.call_and_validate()
        assert 400 <= response.status_code < 500

    refused()


def test_the_probes_answer_as_described(api):
    for path in ("/health", "/ready"):
        for method in ("GET", "HEAD"):
            assert api[path][method].Case().call_and_validate().status_code == 200


def test_every_example_of_a_batch_is_accepted(api):
    examples = [
        (path, example["value"])
        for path, item in DOCUMENT["paths"].items()
        if "post" in item
        for example in item["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    ]
    assert len(examples) >= 3
    for path, body in examples:
        case = api[path]["POST"].Case(path_parameters={"bundle_scope_uuid": "testid"}, body=body)
        assert send(case).status_code == 200


def test_a_method_that_is_not_described_is_not_allowed(service):
    for path, allowed in (("/analytics/testid", "POST"), ("/analytics", "POST"), ("/ready", "GET, HEAD")):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(service.base_url + path, method=method))
            assert (refused.value.code, refused.value.headers["Allow"]) == (405, allowed)
            assert json.loads(refused.value.read())["errorCode"] == "METHOD_NOT_ALLOWED"
