"""The metrics as Prometheus reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from apidanalytics.admin.labels import LabelledTenants
from apidanalytics.admin.metrics import METRICS, Kind, Metric


class _Read(Collector):
    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, self._facts)


def expose(facts: Mapping[str, Any], labelled: LabelledTenants, accept: str) -> tuple[bytes, str]:
    """Return (body, content type) of an answer to Prometheus, in the form that it accepts."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read(with_labels(facts, labelled)))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def with_labels(facts: Mapping[str, Any], labelled: LabelledTenants) -> Mapping[str, Any]:
    """Return the facts with the tenants that have series of their own."""
    return {**facts, "labelled_tenants": labelled.among(facts["tenants"])}


def _family(metric: Metric, facts: Mapping[str, Any]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in metric.read(facts):
            buckets = [(_bound(bound), count) for bound, count in value.cumulated()]
            histogram.add_metric(labels, buckets, value.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.read(facts):
        family.add_metric(labels, value)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
