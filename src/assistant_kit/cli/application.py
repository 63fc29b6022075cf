"""The application's own assistant, found by its name: only it has the model and the tools to go on with a turn."""

import importlib
import sys
from pathlib import Path
from typing import Any, cast

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ConfigurationError


def assistant_of(place: str) -> Assistant[Any]:
    """Return the assistant at `module:name`, which may also be a function that makes one. Raises ConfigurationError.

    As with `python -m`, modules of the current folder are found.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{place!r} names no assistant: write module:name, such as myapp.main:assistant")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found = _found(module, name)
    made: Any = found() if callable(found) else found
    if isinstance(made, Assistant):
        return cast("Assistant[Any]", made)
    raise ConfigurationError(f"{place} is no Assistant, and no function that makes one: it gave {type(made)}")


def _found(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(f"cannot import {module}: {error}") from error
    except AttributeError as error:
        raise ConfigurationError(f"module {module} has no {name}: {error}") from error
