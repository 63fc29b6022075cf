"""What is wrong before anything is sent: the program, or what a caller passed."""

import re
from collections.abc import Sequence

from assistant_kit.errors.root import AssistantKitError


class ConfigurationError(AssistantKitError):
    """The program is set up wrong; nothing was sent."""


class UnknownModel(ConfigurationError):
    """A model string that names no known provider."""

    def __init__(self, model: str, known: Sequence[str]) -> None:
        super().__init__(
            f"unknown model {model!r}: write 'provider:name' with one of the providers {', '.join(sorted(known))}, "
            "for example 'openai:gpt-5.6-luna', or pass a Model object"
        )
        self.model = model


class UnknownStore(ConfigurationError):
    """A store address with a scheme that is not known; `address` is given without its password."""

    def __init__(self, address: str, known: Sequence[str]) -> None:
        address = re.sub(r"(//[^/@:]*:).*@", r"\1…@", address)
        super().__init__(
            f"unknown address {address!r}: it begins with one of {', '.join(sorted(known))}, "
            "for example 'sqlite:///chat.db', or pass the object itself"
        )
        self.address = address


class DuplicateTool(ConfigurationError):
    """Two tools have one name; `origins` says where each comes from."""

    def __init__(self, name: str, origins: Sequence[str]) -> None:
        super().__init__(f"two tools are named {name!r}: {' and '.join(origins)}; rename one of them")
        self.name = name
        self.origins: tuple[str, ...] = tuple(origins)


class InvalidTool(ConfigurationError):
    """A function that cannot be made a tool."""

    def __init__(self, tool: str, problem: str) -> None:
        super().__init__(f"{tool} cannot be a tool: {problem}")
        self.tool = tool
        self.problem = problem


class MissingDependency(ConfigurationError):
    """An optional package is not installed; `extra` brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'assistant-kit[{extra}]'")
        self.package = package
        self.extra = extra


class NotTransactional(ConfigurationError):
    """A tool, or a projection, wants to write in the journal's transaction, and there is none."""

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"{tool!r} writes in the journal's transaction, and {reason}: use SQLite or Postgres")
        self.tool = tool


class StoreVolatile(ConfigurationError):
    """The store would lose what it has acknowledged; nothing was written."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} would lose acknowledged writes: {problem}")
        self.place = place
        self.problem = problem


class IndexMismatch(ConfigurationError):
    """An index has vectors of another embedder; `kept` and `given` name both, with the length of their vectors."""

    def __init__(self, place: str, *, kept: str, given: str) -> None:
        super().__init__(f"{place} holds vectors of {kept}, not of {given}: use that embedder, or make a new index")
        self.place = place
        self.kept = kept
        self.given = given


class InputError(AssistantKitError):
    """What the caller passed to a run cannot be used; nothing was sent."""


class CannotFit(InputError):
    """A part of the request is larger than the window allows. Sizes are in tokens."""

    def __init__(self, part: str, *, needed: int, available: int) -> None:
        super().__init__(
            f"{part} needs {needed} tokens and {available} are available: shorten it, offer fewer tools, "
            "or use a model with a larger context window"
        )
        self.part = part
        self.needed = needed
        self.available = available


class DocumentUnreadable(InputError):
    """A document is damaged, encrypted, too large, or of a format that is not known. Nothing of it was kept."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"document {source!r} cannot be read: {problem}")
        self.source = source
        self.problem = problem
