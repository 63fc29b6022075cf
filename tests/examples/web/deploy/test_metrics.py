"""Rules and dashboard ask only for metrics, and labels of them, that the parts export."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

import yaml

from assistant_kit.observers import prometheus
from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.orchestrator.metrics import WebMetrics
from tests.examples.web.deploy.files import DEPLOY

OF_PROMETHEUS = {"job", "instance"}
FRONTEND = Path(__file__).parents[4] / "examples/flask_demo/frontend"


@cache
def exported() -> Mapping[str, AbstractSet[str]]:
    """Return the labels of every series, by its name."""
    found: dict[str, set[str]] = {"up": set()}
    for name, labels in [*of_the_library(), *of_the_front_end(), *of_the_orchestrator()]:
        found.setdefault(name, set()).update(labels)
    return found


def of_the_library() -> Iterator[tuple[str, AbstractSet[str]]]:
    for node in ast.walk(ast.parse(Path(prometheus.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.id in ("counter", "gauge", "times"):
                name, labels = f"assistant_{texts[0]}", {str(label) for label in texts[2:]}
                yield from series(name, labels) if node.func.id == "times" else [(name, labels)]
            elif node.func.id == "Metric" and isinstance(named.get("name"), ast.Constant):
                yield ast.literal_eval(named["name"]), set(ast.literal_eval(named["labels"]))


def of_the_front_end() -> Iterator[tuple[str, AbstractSet[str]]]:
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", Metrics().text(), re.MULTILINE)
    for name, kind in kinds:
        yield from series(name, {"route"}) if kind == "histogram" else [(name, set[str]())]
    for file in FRONTEND.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.args[0].value
                if name in dict(kinds):
                    yield str(name), {keyword.arg for keyword in node.keywords if keyword.arg}


def of_the_orchestrator() -> Iterator[tuple[str, AbstractSet[str]]]:
    metrics = WebMetrics()
    metrics.answer("GET", "/", 200, 0.1)
    for line in metrics.render().splitlines():
        if not line.startswith("#"):
            name, labels, _ = re.fullmatch(r"(\w+)(\{.*\})? (\S+)", line).groups()  # pyright: ignore[reportOptionalMemberAccess] - it fails then
            yield name, set(re.findall(r"(\w+)=", labels or ""))


def series(histogram: str, labels: AbstractSet[str]) -> Iterator[tuple[str, AbstractSet[str]]]:
    yield f"{histogram}_bucket", {*labels, "le"}
    yield f"{histogram}_count", labels
    yield f"{histogram}_sum", labels


def rules() -> Iterator[Mapping[str, str]]:
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def queries() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in json.loads((DEPLOY / "grafana/dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


def asked_for(query: str) -> AbstractSet[str]:
    return set(re.findall(r"\b(?:assistant_\w+|web[_:][\w:]+|up\b)", query))


def test_every_metric_that_is_asked_for_is_exported_or_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert {name for query in queries() for name in asked_for(query)} <= {*exported(), *recorded}


def test_every_label_that_is_asked_for_is_one_of_its_metric() -> None:
    for query in queries():
        selected = re.findall(r"(\w+)\{([^}]*)\}", query)
        for name, selectors in selected:
            assert set(re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', "", selectors))) <= {
                *exported()[name],
                *OF_PROMETHEUS,
            }, query
        labels = set[str]().union(*(exported().get(name, set()) for name in asked_for(query)))
        by = {label.strip() for listed in re.findall(r"by \(([^)]*)\)", query) for label in listed.split(",")}
        assert by <= {*labels, *OF_PROMETHEUS}, query


def test_legends_show_only_labels_that_are_left() -> None:
    for panel in json.loads((DEPLOY / "grafana/dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            by = {
                label.strip() for listed in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in listed.split(",")
            }
            assert shown <= (by or {"instance", "condition"}), panel["title"]


def test_every_alert_is_tested_both_ways() -> None:
    files = (DEPLOY / "prometheus").glob("*_test.yml")
    tests = [test for file in files for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_the_dashboard_asks_the_data_source_that_is_provided() -> None:
    provided = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    panels = json.loads((DEPLOY / "grafana/dashboard.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {one["uid"] for one in provided}
