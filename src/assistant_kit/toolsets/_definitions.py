"""A server's tools by what it says of them and what the application declares, whatever wire they come over."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from assistant_kit.errors import ConfigurationError, ToolError
from assistant_kit.messages import JsonObject
from assistant_kit.tool_names import model_names
from assistant_kit.tool_schema.acceptable import acceptable
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._pins import Pins, difference, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the application declares about a server's tools; names are the server's own or those the model sees.

    `prefix` stands before all names that the model sees. Times are in seconds: a call ends when the server has said
    nothing for `call_timeout`, and after `call_cap` in any case; without a cap progress prolongs nothing.
    With `pins` only those tools are offered whose definition is pinned.
    """

    origin: str
    call_timeout: float | None = None
    call_cap: float | None = None
    pins: Pins | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    needs_approval: bool | Collection[str] = False
    trust_annotations: bool = False
    prefix: str = ""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be meant."""
        rule = self.needs_approval
        if isinstance(rule, str):
            raise ConfigurationError(f"needs_approval={rule!r}: give True, or the names of tools as a set")
        if self.call_cap is not None and (self.call_timeout is None or self.call_timeout >= self.call_cap):
            raise ConfigurationError(f"{self.origin}: call_cap= goes with a call_timeout= that is shorter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One tool as its server describes it. `read_only` and `idempotent` are hints of the server about itself.

    `said` is all that the server says of it that a model or a person may go by, in its own words: what is pinned.
    """

    name: str
    description: str
    schema: JsonObject
    said: JsonObject
    read_only: bool = False
    idempotent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a tool is not offered. `changed`: it was approved once, and is another one now."""

    words: str
    changed: bool = False


def named_for_models(names: Iterable[str], terms: Terms) -> dict[str, str]:
    """Return the name that a model uses, for each name of a server; of those that are one with the prefix, once."""
    wanted = {name: f"{terms.prefix}_{name}" if terms.prefix else name for name in names}
    legal = model_names(wanted.values())
    return {name: legal[asked] for name, asked in wanted.items()}


def spec_of(name: str, definition: Definition, terms: Terms, *, reconciles: bool = False) -> ToolSpec:
    """Describe a tool to models and to the run loop, which call it `name`."""
    form = acceptable(definition.schema)
    rule = terms.needs_approval
    return ToolSpec(
        name=name,
        description=definition.description,
        parameters=form.schema,
        strict=form.strict,
        effect=_effect(name, definition, terms),
        timeout=terms.call_timeout if terms.call_cap is None else terms.call_cap,
        needs_approval=rule if isinstance(rule, bool) else name in rule or definition.name in rule,
        reconciles=reconciles,
        origin=terms.origin,
        server=terms.origin,
        untrusted=True,
        definition=digest(definition.said),
    )


def refusal(name: str, definition: Definition, pins: Pins | None) -> Refusal | None:
    """Return why a tool, which models call `name`, is not offered; None when it is."""
    if pins is None:
        return None
    pin = pins.get(definition.name, pins.get(name))
    told = f"tool {definition.name!r} is not offered"
    if pin is None:
        return Refusal(words=f"{told}: nobody has approved it (pins=)")
    changes = difference(pin, definition.said)
    if changes is None:
        return None
    return Refusal(words=f"{told}: it is not what was approved (pins=):\n{changes}", changed=True)


class Offered(Protocol):
    """A tool of a server, over whatever wire."""

    @property
    def refusal(self) -> Refusal | None:
        """Why it is not offered; None when it is."""
        ...


OfferT = TypeVar("OfferT", bound=Offered)


def on_offer(name: str, offers: Mapping[str, OfferT], *, server: str) -> OfferT:
    """Return the tool that models call `name`. Raises ToolError when a server has none, or it was not approved."""
    offer = offers.get(name)
    if offer is None:
        raise ToolError(f"{server} has no tool {name!r}")
    if offer.refusal is not None:
        raise ToolError(f"{name} was not called: what the server says of it is not what was approved")
    return offer


def misspelt(terms: Terms, offered: Mapping[str, str]) -> str:
    """Say which names in `needs_approval` are not offered: their tools would run without the approval that was meant.

    `offered` has the server's names by those that models use. "" when all are.
    """
    rule = terms.needs_approval
    missing: set[str] = set() if isinstance(rule, bool) else {*rule} - {*offered} - {*offered.values()}
    if not missing:
        return ""
    names = ", ".join(sorted(offered)) or "no tools"
    return f"needs_approval= names {', '.join(sorted(missing))}, and the server offers {names}: correct the names"


def not_as_approved(refusals: Iterable[Refusal | None]) -> str:
    """Say which tools are not what was approved, and how they differ; "" when all are."""
    changes = [one.words for one in refusals if one is not None and one.changed]
    return "\n".join((*changes, "look at the difference, and pin the tool anew if it is right")) if changes else ""


def _effect(name: str, definition: Definition, terms: Terms) -> Effect:
    declared = terms.effects.get(definition.name) or terms.effects.get(name)
    if declared is not None:
        return declared
    if not terms.trust_annotations:
        return "once"
    return "read" if definition.read_only else "idempotent" if definition.idempotent else "once"
