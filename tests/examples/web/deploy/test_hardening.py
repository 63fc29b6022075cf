"""What runs has no more rights, reach and room than it needs."""

import pytest

from tests.examples.web.deploy.files import OVERLAYS, PARTS, compose, of_kind, pods


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_confined(overlay: str) -> None:
    for name, pod in pods(f"overlays/{overlay}"):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"] is True, name
            assert confined["allowPrivilegeEscalation"] is False, name
            assert confined["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert "readinessProbe" in container, name
            assert ":" in container["image"], name
            assert not container["image"].endswith(":latest"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_parts_are_probed_on_their_admin_port_and_are_disturbed_one_by_one(overlay: str) -> None:
    budgets = {
        one["metadata"]["name"]: one["spec"]["maxUnavailable"]
        for one in of_kind(f"overlays/{overlay}", "PodDisruptionBudget")
    }
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind(f"overlays/{overlay}", "HorizontalPodAutoscaler")
    }
    for deployment in of_kind(f"overlays/{overlay}", "Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        assert (budgets[name], name in scaled, "replicas" in spec) == (1, True, False)
        (container,) = [one for one in spec["template"]["spec"]["containers"] if one["name"] != "identity"]
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in probes.values()} == {"admin"}, name
        assert probes["readiness"]["path"] == "/ready", name
        stop = container["lifecycle"]["preStop"]["sleep"]["seconds"] + 2 * 10
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > stop, name


def test_nothing_talks_to_anything_that_is_not_named() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("shared", "NetworkPolicy")}
    denied = policies["default-deny"]
    assert (denied["podSelector"], set(denied["policyTypes"])) == ({}, {"Ingress", "Egress"})
    assert not {"ingress", "egress"} & set(denied)
    for name, spec in policies.items():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule.get("from") or rule.get("to"), name
            assert rule.get("ports"), name


def test_containers_are_confined() -> None:
    for name, service in compose()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert ":" in service["image"] or service["image"] in PARTS, name
        if service["image"] in PARTS:
            assert service["read_only"] is True, name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["user"].startswith("${APP_UID"), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_the_front_end_reaches_neither_the_database_nor_the_tool_servers() -> None:
    services = compose()["services"]
    assert not set(services["frontend"]["networks"]) & {*services["postgres"]["networks"], "tools"}
    assert all(compose()["networks"][name].get("internal") for name in ("calls", "tools", "data", "sessions"))
