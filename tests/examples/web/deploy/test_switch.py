"""switch.sh lets people see a colour once all of it is ready, and else changes nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.examples.web.deploy.files import KUSTOMIZE

CLUSTER = Path(__file__).with_name("kubectl")  # of a few files; what a real one does is not tested here


def switch(cluster: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KUSTOMIZE / "switch.sh"), *arguments],
        env={**os.environ, "KUBECTL": str(CLUSTER), "CLUSTER": str(cluster)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def applied(cluster: Path) -> list[str]:
    return [call for call in (cluster / "calls").read_text().splitlines() if " apply --kustomize " in call]


def seen(cluster: Path) -> str:
    return (cluster / "track").read_text().strip()


def test_people_see_a_colour_that_is_ready_and_can_go_back(tmp_path: Path) -> None:
    assert switch(tmp_path, "blue").returncode == 0
    assert seen(tmp_path) == "blue"
    switched = switch(tmp_path, "green")
    assert (switched.returncode, switched.stdout.splitlines()) == (0, ["people see: blue", "people see: green"])
    assert switch(tmp_path, "blue").returncode == 0
    assert seen(tmp_path) == "blue"


@pytest.mark.parametrize("part", ["frontend", "orchestrator", "calendar", "notes", "search"])
@pytest.mark.parametrize("state", ["not-ready", "empty"])
def test_nothing_is_switched_while_a_part_is_not_ready(tmp_path: Path, part: str, state: str) -> None:
    (tmp_path / "track").write_text("blue")
    (tmp_path / state).write_text(f"{part}-green\n{part}-blue-old\n")
    refused = switch(tmp_path, "green")
    assert (refused.returncode, applied(tmp_path), seen(tmp_path)) == (1, [], "blue")
    assert f"{part}-green" in refused.stderr


def test_a_dry_run_looks_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "track").write_text("blue")
    looked = switch(tmp_path, "green", "--dry-run")
    assert (looked.returncode, applied(tmp_path), seen(tmp_path)) == (0, [], "blue")
    assert looked.stdout.splitlines() == ["people see: blue", "would switch to: green"]


def test_a_switch_that_does_not_take_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stuck").touch()
    assert switch(tmp_path, "green").returncode == 1


@pytest.mark.parametrize("arguments", [[], ["red"], ["blue", "green"], ["blue", "--now"], ["--dry-run"]])
def test_what_is_no_colour_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    assert switch(tmp_path, *arguments).returncode == 2
    assert list(tmp_path.iterdir()) == []
