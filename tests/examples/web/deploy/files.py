"""What is deployed, as the tests read it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[4] / "examples/flask_demo/deploy"
KUSTOMIZE = DEPLOY / "kustomize"
OVERLAYS = ("development", "blue", "green")
PARTS = {
    "web-frontend": "frontend",
    "web-orchestrator": "orchestrator",
    "web-tools": "tool_servers",
    "web-identity": "identity",
}
"""Which part runs in which image."""


@cache
def compose() -> Mapping[str, Any]:
    """Return the services for containers on one machine, without what extends them for development."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@cache
def rendered(folder: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects that a folder of kustomize stands for."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUSTOMIZE / folder)],  # noqa: S607 - Debian's or the user's
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, *kinds: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects of some kinds."""
    return [thing for thing in rendered(folder) if thing["kind"] in kinds]


def pods(folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the pods of a folder, by the names of what makes them."""
    for thing in of_kind(folder, "Deployment", "StatefulSet"):
        yield thing["metadata"]["name"], thing["spec"]["template"]


def environments() -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Return where a part is told something, which part it is, and what: for values from elsewhere, an empty text."""
    for name, service in compose()["services"].items():
        if service["image"] in PARTS:
            yield f"compose {name}", PARTS[service["image"]], service["environment"]
    for overlay in OVERLAYS:
        for name, pod in pods(f"overlays/{overlay}"):
            for container in pod["spec"]["containers"]:
                image = container["image"].rpartition("/")[2].partition(":")[0]
                if image in PARTS:
                    told = {variable["name"]: variable.get("value", "") for variable in container["env"]}
                    yield f"{overlay} {name}", PARTS[image], told
