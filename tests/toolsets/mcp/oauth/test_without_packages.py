import builtins
import importlib
import sys
from typing import Any

import pytest

from assistant_kit.errors import MissingDependency

PLACE = "assistant_kit.toolsets.mcp.oauth"


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("encrypted_folder", "cryptography", "encryption"),
        ("signing_key", "cryptography", "encryption"),
        ("keyring_tokens", "keyring", "keyring"),
    ],
)
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, extra: str
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, f"{PLACE}.{module}", raising=False)
    with pytest.raises(MissingDependency) as caught:
        importlib.import_module(f"{PLACE}.{module}")
    assert (caught.value.package, caught.value.extra) == (package, extra)
