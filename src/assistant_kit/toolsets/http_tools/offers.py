"""The tools of a plain HTTP server in the words of this library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets._definitions import Definition, Refusal, Terms, named_for_models, refusal, spec_of
from assistant_kit.toolsets._schemas import SchemaCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool: `definition` is the server's, `spec.name` what the model calls it.

    `check` is that of the arguments, by the schema as the server has written it. `refusal` says why the tool is not
    offered.
    """

    definition: Definition
    spec: ToolSpec
    check: SchemaCheck = field(compare=False)
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The tools of a server at one moment.

    `offers` are all by the name the model uses, those that are refused among them; `specs` is what a model is told.
    """

    offers: Mapping[str, Offer] = field(default_factory=lambda: MappingProxyType({}))
    specs: Sequence[ToolSpec] = ()


def catalog(definitions: Sequence[Definition], terms: Terms) -> Catalog:
    """Describe tools as the model and the run loop see them."""
    names = named_for_models([definition.name for definition in definitions], terms)
    offers = {names[one.name]: _offer(names[one.name], one, terms) for one in definitions}
    specs = tuple(offer.spec for offer in offers.values() if offer.refusal is None)
    return Catalog(offers=MappingProxyType(offers), specs=specs)


def _offer(name: str, definition: Definition, terms: Terms) -> Offer:
    return Offer(
        definition=definition,
        spec=spec_of(name, definition, terms),
        check=SchemaCheck(definition.schema),
        refusal=refusal(name, definition, terms.pins),
    )
