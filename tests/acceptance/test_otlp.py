"""Metrics over OTLP, received by a real HTTP server and read with the protocol's own messages."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.harness import wait_until

RECORD = {"client_received_start_timestamp": 1700000000000}


@pytest.fixture
def receiver():
    """An OTLP receiver: the address, and what it received, decoded."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, ExportMetricsServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def metrics_of(request):
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def test_an_opentelemetry_collector_is_sent_what_prometheus_would_read(start_service, receiver):
    endpoint, received = receiver
    service = start_service(
        apidanalytics_otlp_endpoint=endpoint,
        apidanalytics_otlp_interval=1,
        apidanalytics_workers=1,
        apigeesync_apid_instance_id="gateway-7",
    )
    for _ in range(3):
        assert service.post("testid", [RECORD] * 4)[0] == 200

    def accepted():
        metric = metrics_of(received[-1][1])["apidanalytics_accepted_records_total"] if received else None
        return metric is not None and metric.sum.data_points[0].as_int == 12

    wait_until(accepted, what="the records are counted in what was received")
    path, request = received[-1]
    assert path == "/v1/metrics"
    attributes = {one.key: one.value.string_value for one in request.resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "apidanalytics"
    assert attributes["service.instance.id"] == "gateway-7"
    metrics = metrics_of(request)
    assert metrics["apidanalytics_accepted_records_total"].sum.is_monotonic
    (latency,) = metrics["apidanalytics_request_duration_seconds"].histogram.data_points
    assert latency.count == sum(latency.bucket_counts) == 3
    assert len(latency.bucket_counts) == len(latency.explicit_bounds) + 1
    assert not latency.HasField("min")
    assert metrics["apidanalytics_request_duration_seconds"].unit == "s"
    states = {
        point.attributes[0].value.string_value for point in metrics["apidanalytics_backlog_records"].gauge.data_points
    }
    assert states == {"spooled", "staged", "failed"}
