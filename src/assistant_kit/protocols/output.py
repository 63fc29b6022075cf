"""The contract of what turns a model's text into a run's output."""

from typing import Protocol, TypeVar

from assistant_kit.protocols.model import OutputSchema

T_co = TypeVar("T_co", covariant=True)


class Output(Protocol[T_co]):
    """A type of output: what the model is told of it, and how its text is read."""

    @property
    def schema(self) -> OutputSchema:
        """The JSON schema that the answer has to fit."""
        ...

    def parse(self, text: str) -> T_co:
        """Return the value that the text stands for. Raises OutputInvalid."""
        ...
