"""The lists of packages for the images have all that the parts import, at the versions of constraints.txt."""

import ast
import re
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from assistant_kit.public_names import PLACES
from tests.examples.web.deploy.files import DEPLOY, PARTS, compose

ROOT = Path(__file__).parents[4]
LISTS = {"frontend": "frontend", "orchestrator": "orchestrator", "tool_servers": "tools", "identity": "identity"}


def listed(name: str) -> list[Requirement]:
    lines = (DEPLOY / f"docker/{name}.txt").read_text().splitlines()
    return [Requirement(re.sub(r"^\.", "assistant-kit", line)) for line in lines if not line.startswith("#")]


def installed_by(requirements: list[Requirement]) -> AbstractSet[str]:
    """Return the packages that come with those that are asked for."""
    found: set[tuple[str, str]] = set()
    asked = [(one.name, extra) for one in requirements for extra in ("", *one.extras)]
    while asked:
        name, extra = asked.pop()
        key = (str(canonicalize_name(name)), extra)
        if key in found:
            continue
        found.add(key)
        for text in requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                asked += [(needed.name, more) for more in ("", *needed.extras)]
    return {name for name, _ in found}


def imported_by(part: str) -> Iterator[str]:
    """Return the modules of others that a part imports, or what it imports of the example and of the library."""
    asked, seen = [f"examples.flask_demo.{part}.__main__"], set[str]()
    while asked:
        module = asked.pop()
        file = file_of(module)
        if module in seen or file is None:
            continue
        seen.add(module)
        for name in names_in(file):
            top = name.partition(".")[0]
            if top in ("examples", "assistant_kit"):
                asked.append(name)
            elif top not in sys.stdlib_module_names:
                yield top


def file_of(module: str) -> Path | None:
    paths = [root.joinpath(*module.split(".")) for root in (ROOT, ROOT / "src")]
    files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def names_in(file: Path) -> Iterator[str]:
    nodes: list[ast.AST] = [ast.parse(file.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "assistant_kit":
            yield from (f"assistant_kit.{PLACES.get(alias.name, alias.name)}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            nodes += ast.iter_child_nodes(node)


@cache
def distributions() -> dict[str, set[str]]:
    found = {
        module: {str(canonicalize_name(name)) for name in names} for module, names in packages_distributions().items()
    }
    return {**found, "assistant_kit": {"assistant-kit"}}  # installed as a link to src


@pytest.mark.parametrize("part", PARTS.values())
def test_an_image_has_what_its_part_imports(part: str) -> None:
    there = installed_by(listed(LISTS[part]))
    missing = {module for module in imported_by(part) if not distributions().get(module, {module}) & there}
    assert missing == set()


def test_each_image_runs_its_part() -> None:
    text = (DEPLOY / "docker/web.Dockerfile").read_text()
    stages = re.findall(r"^FROM part AS (\w+)$(.*?)(?=^FROM|\Z)", text, re.MULTILINE | re.DOTALL)
    run = {
        f"web-{target}": re.findall(r'^ENTRYPOINT \["python", "-m", "examples.flask_demo.(\w+)"\]', stage, re.MULTILINE)
        for target, stage in stages
    }
    assert run == {image: [part] for image, part in PARTS.items()}
    for service in compose()["services"].values():
        if service["image"] in PARTS:
            assert service["image"] == f"web-{service['build']['target']}"


@pytest.mark.parametrize("name", LISTS.values())
def test_the_version_of_all_that_is_asked_for_is_settled(name: str) -> None:
    settled = {
        str(canonicalize_name(line.partition("==")[0])) for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    asked = {str(canonicalize_name(one.name)) for one in listed(name)} - {"assistant-kit"}
    assert asked <= settled
