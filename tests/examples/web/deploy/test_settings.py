"""What is deployed tells the parts only what they read, and names only hosts that the certificates are for."""

import importlib
import re
from collections.abc import Set as AbstractSet

import pytest

from examples.flask_demo.certificates import SERVICES
from tests.examples.web.deploy.files import OVERLAYS, PARTS, compose, environments, of_kind, pods, rendered

OF_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT"}
"""What obstore reads for s3://."""
TLS_NAMES = {"frontend": "frontend", "orchestrator": "orchestrator", "tool_servers": "tools"}


def read_by(part: str) -> AbstractSet[str]:
    """Return the variables that a part says it reads."""
    said: str = importlib.import_module(f"examples.flask_demo.{part}.settings").VARIABLES
    return set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b", said))


@pytest.mark.parametrize("part", PARTS.values())
def test_parts_are_told_nothing_that_they_do_not_read(part: str) -> None:
    known = read_by(part)
    known |= {f"{name}_FILE" for name in known} | OF_OTHERS
    for where, of, told in environments():
        if of == part:
            assert set(told) <= known, where


def test_every_secret_of_compose_is_used_and_every_use_is_declared() -> None:
    used: set[str] = set()
    for service in compose()["services"].values():
        used |= {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
    assert used == set(compose()["secrets"])


def test_no_secret_stands_in_a_file() -> None:
    for where, _, told in environments():
        for name, value in told.items():
            if name.endswith(("_KEY", "_SECRET", "_PASSWORD", "_KEYS", "DATABASE_URL", "REDIS_URL")):
                assert value == "", (where, name)
    assert not [thing for overlay in OVERLAYS for thing in of_kind(f"overlays/{overlay}", "Secret")]


def test_parts_call_only_names_that_their_callees_have_certificates_for() -> None:
    hosts = {name: set(service.hosts) for service in SERVICES for name in [service.name]}
    for where, _, told in environments():
        called = set(re.findall(r"https://([^:/,]+):8443", told.get("ORCHESTRATOR_URLS", "")))
        assert called <= hosts["orchestrator"], where
        called = set(re.findall(r"https://([^:/,]+):8443", told.get("TOOL_SERVERS", "")))
        assert called <= hosts["tools"], where


def test_tool_servers_know_the_names_by_which_they_are_called() -> None:
    called: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] = set()
    for where, part, told in environments():
        place = where.partition(" ")[0]
        if part == "orchestrator":
            called |= {(place, host) for host in re.findall(r"https://([^:/,]+):8443", told["TOOL_SERVERS"])}
        elif part == "tool_servers":
            known |= {(place, host.removesuffix(":*")) for host in told["HOSTS"].split()}
    assert called <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_parts_call_only_services_that_there_are(overlay: str) -> None:
    there = {
        thing["metadata"]["name"]
        for folder in (f"overlays/{overlay}", "shared")
        for thing in of_kind(folder, "Service")
    }
    for where, _, told in environments():
        if where.startswith(overlay):
            called = set(re.findall(r"https?://([a-z-]+):(?:8443|9090)\b", " ".join(told.values())))
            assert called <= there, where


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_the_key_of_its_own_service_alone(overlay: str) -> None:
    for name, pod in pods(f"overlays/{overlay}"):
        held = {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
        part = pod["metadata"]["labels"]["part"]
        expected = {f"tls-{part}"} if part in TLS_NAMES.values() else set[str]()
        assert {secret for secret in held if secret.startswith("tls-")} == expected, name
        assert ("master-keys" in held) == (part == "orchestrator"), name


def test_a_container_has_the_key_of_its_own_service_alone() -> None:
    for name, service in compose()["services"].items():
        held = {one["source"] for one in service.get("secrets", []) if not isinstance(one, str)}
        expected = TLS_NAMES.get(PARTS.get(service["image"], ""))
        assert held == ({"ca.pem", f"{expected}.pem", f"{expected}-key.pem"} if expected else set()), name


@pytest.mark.parametrize("overlay", ["blue", "green"])
def test_all_of_a_colour_bears_its_name_and_selects_its_own_pods(overlay: str) -> None:
    for thing in rendered(f"overlays/{overlay}"):
        assert thing["metadata"]["name"].endswith(f"-{overlay}")
        spec = thing["spec"]
        match thing["kind"]:
            case "Service":
                assert spec["selector"]["track"] == overlay
            case "Deployment" | "PodDisruptionBudget":
                assert spec["selector"]["matchLabels"]["track"] == overlay
            case kind:
                assert kind == "HorizontalPodAutoscaler"
                assert spec["scaleTargetRef"]["name"].endswith(f"-{overlay}")
    (entry,) = rendered(f"entry/{overlay}")
    assert (entry["metadata"]["name"], entry["spec"]["selector"]) == ("web", {"part": "frontend", "track": overlay})


def test_the_service_that_people_see_is_switched_by_nothing_else() -> None:
    for folder in ("shared", "overlays/blue", "overlays/green"):
        assert "web" not in [service["metadata"]["name"] for service in of_kind(folder, "Service")]
