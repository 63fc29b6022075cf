"""The root of the package names everything that is public, and loads a name only when it is used."""

import subprocess
import sys
from types import ModuleType

import pytest

import assistant_kit
from assistant_kit import errors

# Of the distributions that this library needs; what stands in them is loaded when a run needs it.
HEAVY = {"openai", "mcp", "pydantic", "pydantic_core", "tiktoken", "httpx2", "httpx"}


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def table() -> dict[str, str]:
    return vars(assistant_kit)["_PLACES"]


def test_the_public_names_are_sorted_and_are_those_of_the_table() -> None:
    assert assistant_kit.__all__ == sorted(table())
    assert list(table()) == assistant_kit.__all__


@pytest.mark.parametrize("name", assistant_kit.__all__)
def test_every_public_name_can_be_loaded(name: str) -> None:
    assert getattr(assistant_kit, name) is not None
    assert name in dir(assistant_kit)


def test_a_name_that_is_loaded_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(assistant_kit), "Usage", raising=False)
    usage = assistant_kit.Usage
    assert vars(assistant_kit)["Usage"] is usage


def test_every_error_is_public() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name for name, place in table().items() if place == "errors"} == kinds


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    package: ModuleType = assistant_kit
    with pytest.raises(AttributeError) as caught:
        package.Asistant  # noqa: B018
    assert caught.value.args == ("module 'assistant_kit' has no attribute 'Asistant'",)


def test_importing_the_package_loads_nothing_but_the_standard_library() -> None:
    more = loaded_by("import assistant_kit") - loaded_by("pass") - sys.stdlib_module_names
    assert more == {"assistant_kit"}


def test_the_assistant_itself_loads_no_provider_and_no_validation() -> None:
    loaded = loaded_by("from assistant_kit import Assistant")
    assert "assistant_kit" in loaded
    assert loaded & HEAVY == set()
