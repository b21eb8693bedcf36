"""The rules of Prometheus: promtool plays series against each of them, and the page for operators names all alerts."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.tools.docker import prometheus

ROOT = Path(__file__).parents[2]
CASES = sorted(Path(__file__).with_name("alert_rules").glob("*.yaml"))
ALERTS = {rule["alert"]: rule for rule in prometheus.rules() if "alert" in rule}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(prometheus.MAY_SKIP, reason=prometheus.REASON)
def test_prometheus_accepts_the_rules() -> None:
    checked = promtool("check", "rules", str(prometheus.RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(prometheus.MAY_SKIP, reason=prometheus.REASON)
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_the_cases_say(case: Path) -> None:
    played = promtool("test", "rules", str(case))
    assert played.returncode == 0, played.stdout + played.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    tests = [test for case in CASES for test in yaml.safe_load(case.read_text())["tests"]]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == set(ALERTS)
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == set(ALERTS)


def test_each_alert_says_how_urgent_it_is_what_happens_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "action"}, name


def test_the_page_for_operators_has_a_row_for_each_alert() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| `(Thalweg\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert dict(rows) == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
    assert len(rows) == len(ALERTS)
