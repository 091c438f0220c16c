"""docs/metrics.md, the dashboard, the alerts and the table of metrics say the same names."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from apidanalytics.admin.metrics import METRICS, Kind, Metric

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/metrics.md").read_text()
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/apidanalytics.json"
_NAME = re.compile(r"\bapidanalytics_[a-z_]+")
_UNITS = {
    "seconds",
    "bytes",
    "records",
    "files",
    "batches",
    "tenants",
    "keys",
    "info",
    "total",
    # what is counted, or a yes or no
    "ready",
    "findings",
    "connections",
    "requests",
    "workers",
    "stopped",
    "paused",
    "failing",
    "writable",
    "full",
}


def series(metric: Metric) -> set[str]:
    """Every name under which Prometheus stores it."""
    if metric.kind is Kind.HISTOGRAM:
        return {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {metric.name}


KNOWN = set().union(*map(series, METRICS))


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented_as_it_is_declared(metric):
    assert row(metric) in DOCS.splitlines()


def test_no_metric_is_documented_that_does_not_exist():
    documented = re.findall(r"^\| `(apidanalytics_[a-z_]+)` \|", DOCS, re.MULTILINE)
    assert documented == [metric.name for metric in METRICS]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_ends_in_what_it_counts(metric):
    assert metric.name.rpartition("_")[2] in _UNITS
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert metric.help.endswith(".")


def expressions() -> list[str]:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    dashboard = json.loads(DASHBOARD.read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [*(rule["expr"] for rule in rules), *targets]


@pytest.mark.parametrize("expression", expressions())
def test_the_alerts_and_the_dashboard_ask_for_what_exists(expression):
    assert expression.startswith("up{") or _NAME.findall(expression)
    assert set(_NAME.findall(expression)) <= KNOWN


NOT_DRAWN = {
    # what is there, rather than how it goes (build_info names the instances)
    *("apidanalytics_build_info", "apidanalytics_start_time_seconds", "apidanalytics_last_upload_timestamp_seconds"),
    *("apidanalytics_scope_data_age_seconds", "apidanalytics_scope_tenants", "apidanalytics_scope_keys"),
    # another one that is drawn, counted in another way
    *("apidanalytics_accepted_bytes_total", "apidanalytics_backlog_bytes", "apidanalytics_uploaded_files_total"),
    *("apidanalytics_set_aside_records", "apidanalytics_disk_full", "apidanalytics_disk_used_bytes"),
    *("apidanalytics_tenant_uploaded_records_total", "apidanalytics_tenant_backlog_records"),
    # asked for when something else looks odd
    *("apidanalytics_replayed_batches_total", "apidanalytics_dropped_records_total"),
    *("apidanalytics_connections", "apidanalytics_inflight_bytes", "apidanalytics_uploading_files"),
}


def test_every_metric_is_drawn_or_alerted_on_but_for_those_that_need_not_be():
    used = set().union(*(_NAME.findall(expression) for expression in expressions()))
    assert {metric.name for metric in METRICS if not series(metric) & used} == NOT_DRAWN


def test_no_two_panels_of_the_dashboard_lie_on_one_another():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in cells_of(**panel["gridPos"])]
    assert len(set(cells)) == len(cells)
    assert all(column < 24 for column, _ in cells)


def cells_of(x: int, y: int, w: int, h: int) -> list[tuple[int, int]]:
    return [(column, line) for column in range(x, x + w) for line in range(y, y + h)]


def test_every_alert_says_what_it_means_and_what_to_do():
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"]["summary"].endswith(".")
            assert rule["annotations"]["description"].endswith(".")


def test_prometheus_takes_the_alerts_and_they_fire_as_they_should(require_tool):
    promtool = require_tool("promtool")
    for command in (["check", "rules", ALERTS], ["test", "rules", ALERTS.with_name("alerts_test.yml")]):
        result = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
