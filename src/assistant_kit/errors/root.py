"""The root of all errors."""

from typing import Any


class AssistantKitError(Exception):
    """The root of all errors of this library. They can be pickled, to cross from one process to another."""

    def __reduce__(self) -> Any:
        """Say how to make an equal error; `args` holds the finished text, not what a constructor takes."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AssistantKitError], args: tuple[Any, ...], data: dict[str, Any]) -> AssistantKitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(data)
    return error
