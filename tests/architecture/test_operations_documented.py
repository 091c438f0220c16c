"""Whoever is woken by an alert finds its heading in docs/operations.md, and no heading of one that is gone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy" / "prometheus").glob("*alerts.yml"))


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_every_alert_has_its_runbook(rules):
    page = (ROOT / "docs" / "operations.md").read_text()
    explained = set(re.findall(r"^### (Apidanalytics\w+)$", page, re.MULTILINE))
    alerts = set(re.findall(r"^ *- alert: (\w+)$", rules.read_text(), re.MULTILINE))
    assert alerts
    assert explained == alerts
