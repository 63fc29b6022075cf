"""Without the SDK."""

import importlib
import subprocess
import sys

import pytest

from assistant_kit.errors import MissingDependency

ALONE = """
import sys
import assistant_kit
import assistant_kit.integrations
print("agents" in sys.modules)
"""


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents", None)
    monkeypatch.delitem(sys.modules, "assistant_kit.integrations.openai_agents", raising=False)
    with pytest.raises(MissingDependency) as missing:
        importlib.import_module("assistant_kit.integrations.openai_agents")
    assert (missing.value.package, missing.value.extra) == ("openai-agents", "openai-agents")


def test_importing_the_library_does_not_import_it() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
