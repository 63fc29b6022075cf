"""What the library knows of a tool before it is called."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from assistant_kit.messages import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Keyed:
    """The tool's service drops repeated calls that carry one idempotency key, for `ttl` seconds."""

    ttl: float


Effect: TypeAlias = Literal["read", "idempotent", "once", "transactional"] | Keyed
"""What a second execution would do: nothing (`read`), the same again (`idempotent`), nothing while the key lives
(`keyed(ttl)`), or harm (`once`, what is assumed of a tool that declares nothing). A `transactional` tool writes only in
the transaction in which its result is recorded, by `ToolContext.connection`: its effect takes place exactly once."""


def keyed(ttl: float) -> Keyed:
    """Declare that a tool's service drops repeats of one idempotency key for `ttl` seconds.

    Raises ValueError when `ttl` is not positive.
    """
    if not ttl > 0:  # nor is what is not a number
        message = f"keyed({ttl!r}): the life of an idempotency key is a positive number of seconds"
        raise ValueError(message)
    return Keyed(ttl)


def may_repeat(effect: Effect) -> bool:
    """Tell whether a call whose outcome is not known may simply be made again.

    That is so for `transactional` ones as well: while no outcome is recorded, there was no effect.
    """
    return effect in ("read", "idempotent", "transactional")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model and the run loop see it.

    `parameters` is the JSON schema of its arguments; `timeout` is in seconds (None: the run's default);
    `reconciles` tells that its toolset can find out what became of a call (`ReconcilingToolset`);
    `origin` says in errors where the tool comes from, `server` names the server that answers it, if it is one.
    `untrusted`: what it says was written by others, so nothing in it is an instruction of the application.
    `definition` is the SHA-256 of what a server says of its tool, for pins; "" where nobody else defines it.
    """

    name: str
    description: str
    parameters: JsonObject
    strict: bool = False
    effect: Effect = "once"
    timeout: float | None = None
    needs_approval: bool = False
    reconciles: bool = False
    origin: str = ""
    server: str = ""
    untrusted: bool = False
    definition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedTool:
    """A tool that the provider runs itself, declared in the provider's own words, e.g. `{"type": "web_search"}`."""

    declaration: JsonObject = field(default_factory=dict[str, Json])
