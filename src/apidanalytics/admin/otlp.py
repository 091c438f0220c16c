"""The metrics for an OpenTelemetry collector, over OTLP and HTTP: the optional extra ``apidanalytics[otel]``.

Nothing is counted twice: what ``/metrics`` shows is put into OTLP's own values and sent by the project's exporter.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from apidanalytics.admin.exposition import with_labels
from apidanalytics.admin.labels import LabelledTenants
from apidanalytics.admin.metrics import METRICS, Kind, Metric
from apidanalytics.admin.readings import Facts

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric as Sent
    from opentelemetry.sdk.metrics.export import MetricsData

log = structlog.get_logger()


class Sender:
    """Sends the metrics now and then. An attempt that fails is logged once, until one succeeds."""

    def __init__(
        self,
        endpoint: str,
        facts: Callable[[], Awaitable[Facts]],
        labelled: LabelledTenants,
        *,
        interval_seconds: float,
        instance_id: str,
    ) -> None:
        """Make it ready to send.

        Raises:
            ImportError: the extra is not installed.

        """
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        self._exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=min(interval_seconds, 10.0))
        self._facts = facts
        self._labelled = labelled
        self._interval_seconds = interval_seconds
        self._instance_id = instance_id
        self._failing = False

    def __repr__(self) -> str:
        return f"<Sender every {self._interval_seconds:g} s, {'failing' if self._failing else 'well'}>"

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.send()

    async def send(self) -> None:
        """Send once."""
        data = to_otlp(with_labels(await self._facts(), self._labelled), self._instance_id)
        result = await asyncio.to_thread(self._exporter.export, data)
        failing = result.name != "SUCCESS"
        if failing != self._failing:
            self._failing = failing
            if failing:
                log.warning(
                    "admin.otlp_failed",
                    hint="metrics do not reach apidanalytics_otlp_endpoint; tried again every interval",
                )
            else:
                log.info("admin.otlp_mended")

    async def aclose(self) -> None:
        """Let go of its connections."""
        await asyncio.to_thread(self._exporter.shutdown)


def to_otlp(facts: Facts, instance_id: str) -> "MetricsData":
    """Return all metrics as OTLP has them."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    names = {
        "service.name": "apidanalytics",
        "service.version": facts["version"],
        "service.instance.id": instance_id,
    }
    scope = ScopeMetrics(
        scope=InstrumentationScope("apidanalytics", facts["version"]),
        metrics=[_metric(metric, facts) for metric in METRICS],
        schema_url="",
    )
    resource = ResourceMetrics(resource=Resource(names), scope_metrics=[scope], schema_url="")
    return MetricsData(resource_metrics=[resource])


def _metric(metric: Metric, facts: Facts) -> "Sent":
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Sum  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import Metric as Sent  # noqa: PLC0415

    points = [_point(metric, labels, value, facts) for labels, value in metric.read(facts)]
    data: Any
    if metric.kind is Kind.HISTOGRAM:
        data = Histogram(data_points=points, aggregation_temporality=AggregationTemporality.CUMULATIVE)
    elif metric.kind is Kind.COUNTER:
        data = Sum(data_points=points, aggregation_temporality=AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(data_points=points)
    return Sent(name=metric.name, description=metric.help, unit=_unit(metric.name), data=data)


def _point(metric: Metric, labels: tuple[str, ...], value: Any, facts: Facts) -> Any:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint  # noqa: PLC0415

    common: dict[str, Any] = {
        "attributes": dict(zip(metric.labels, labels, strict=True)),
        "start_time_unix_nano": int(facts["started_at"] * 1e9),
        "time_unix_nano": time.time_ns(),
    }
    if metric.kind is not Kind.HISTOGRAM:
        return NumberDataPoint(**common, value=value)
    common |= {"min": None, "max": None}  # not known, and optional in OTLP
    return HistogramDataPoint(
        **common,
        count=sum(value.counts),
        sum=value.sum,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
    )


def _unit(name: str) -> str:
    stem = name.removesuffix("_total")
    return {"seconds": "s", "bytes": "By"}.get(stem.rpartition("_")[2], "1")
