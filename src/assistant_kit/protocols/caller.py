"""The contract of the caller of a served tool: what a tool may ask back, and tell, while it serves the call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, cast

from assistant_kit.messages import AssistantMessage, Json, JsonObject, Part, Text, UserMessage, text_of

Kind: TypeAlias = Literal["form", "page", "sample", "roots"]
"""What can be asked: a person by a form, a person by a page to open, a model, the folders to work in."""

Level: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
"""How grave a line of a log is, as in RFC 5424."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form for the person who uses the caller: its fields are the properties of a JSON schema, all plain values.

    Never ask for a password or a key by it: the caller, and maybe its model, reads along.
    """

    kind: Literal["form"] = "form"
    message: str
    schema: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page that the person is to open in a browser of their own, for what the caller must not see: a password."""

    kind: Literal["page"] = "page"
    message: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A question to the caller's model, which chooses the model and may decline. `max_tokens` bounds the answer.

    Messages hold text, pictures by their bytes, and sounds.
    """

    kind: Literal["sample"] = "sample"
    messages: Sequence[UserMessage | AssistantMessage]
    max_tokens: int
    instructions: str = ""
    temperature: float | None = None
    stop: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The question for the folders in which the caller wants the tool to work."""

    kind: Literal["roots"] = "roots"


Question: TypeAlias = Form | Page | Sample | Roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a person did with a form or a page: `accept`, `decline`, or `cancel`, which says neither.

    `content` holds the fields of a form that was accepted, and fits its schema. That a page was accepted says that
    it was opened, not what was done there.
    """

    action: Literal["accept", "decline", "cancel"]
    content: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the caller's model answered; `finish` is its own word for why it stopped."""

    content: tuple[Part, ...]
    model: str
    finish: str | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return text_of(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A folder, by its `file://` address."""

    uri: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders in which the caller wants the tool to work."""

    roots: tuple[Root, ...]


Answer: TypeAlias = Reply | Sampled | Folders


class Caller(Protocol):
    """Whoever calls a served tool, as far as it can be asked back. Inherit from it: it has methods of its own.

    Ask first, act after. A caller may be asked in rounds: then the call ends at the question by being cancelled, and
    the function runs again from its beginning once the answer is there; what was answered before returns at once. A
    question is known by its name, its content, and how often it was asked before in the same run.
    """

    def can(self, kind: Kind) -> bool:
        """Tell whether questions of a kind are taken."""
        ...

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Ask several questions together, each under a name; return the answers under the same names.

        A Reply for a Form and a Page, Sampled for a Sample, Folders for Roots. A synchronous tool asks by
        `anyio.from_thread.run(caller.ask, questions)`. Raises CannotAsk before anything is asked, and NoAnswer.
        """
        ...

    def log(self, level: Level, data: Json, logger: str | None = None) -> None:
        """Tell the caller a line of the tool's log, if it wants lines of this level; in the tool's own thread, too.

        `data` is a text or JSON. Lines that come faster than the caller takes them are dropped.
        """
        ...

    async def elicit(self, message: str, schema: JsonObject, *, name: str = "form") -> Reply:
        """Put a form to the person who uses the caller. Raises as `ask` does."""
        return cast("Reply", (await self.ask({name: Form(message=message, schema=schema)}))[name])

    async def show(self, message: str, url: str, *, name: str = "page") -> Reply:
        """Have a person open a page. Raises as `ask` does."""
        return cast("Reply", (await self.ask({name: Page(message=message, url=url)}))[name])

    async def sample(self, prompt: str, *, max_tokens: int, instructions: str = "", name: str = "sample") -> Sampled:
        """Ask the caller's model. Raises as `ask` does."""
        message = UserMessage(content=(Text(text=prompt),))
        question = Sample(messages=(message,), max_tokens=max_tokens, instructions=instructions)
        return cast("Sampled", (await self.ask({name: question}))[name])

    async def roots(self, *, name: str = "roots") -> Sequence[Root]:
        """Return the folders in which the caller wants the tool to work. Raises as `ask` does."""
        return cast("Folders", (await self.ask({name: Roots()}))[name]).roots
