"""What tokens cost: prices as data, each with a date and a source, in whole billionths of a US dollar."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from assistant_kit.errors import ConfigurationError
from assistant_kit.usage import Usage

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_NONE: Mapping[str, "ModelPrice"] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Nanodollars a token, whole numbers: $1.25 per million tokens are 1250.

    `cache_write` is what a token costs that the provider puts into its prompt cache; 0 where that costs nothing extra.
    """

    input: int
    cached_input: int
    output: int
    cache_write: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what is no whole number of nanodollars."""
        for rate in fields(Rates):
            value: object = getattr(self, rate.name)
            if not isinstance(value, int) or value < 0:
                raise ConfigurationError(
                    f"a price's {rate.name} is a whole number of nanodollars a token, not {value!r}: "
                    "write 1250 for $1.25 per million tokens"
                )

    def cost(self, fresh: int, cached: int, output: int) -> int:
        """Return nanodollars for tokens; of fresh ones nobody says how many were written to the cache: all, at most."""
        return fresh * max(self.input, self.cache_write) + cached * self.cached_input + output * self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice(Rates):
    """What a model costs, as `source` said on `date` (year-month-day).

    A request of more than `above` prompt tokens costs the `long` rates for all of its tokens.
    """

    date: str
    source: str
    above: int = 0
    long: Rates | None = None

    def rates(self, prompt_tokens: int) -> Rates:
        """Return what holds for a prompt of this length."""
        return self.long if self.long is not None and prompt_tokens > self.above else self


class Prices:
    """What models cost: the prices that come with the library, and yours, which go first.

    `Prices({"my-model": ModelPrice(input=1250, cached_input=125, output=10_000, date="2026-11-22", source="offer")})`

    A name with its provider (`openai:gpt-5.6-luna`) finds an entry with the provider, or else one without; a dated
    version (`gpt-5.6-luna-2026-09-01`) finds its model. Nothing else is guessed. The entries that come along are those
    of `prices.json`: standard processing, without surcharges for regions, priority, tools or longer caching.
    """

    def __init__(self, own: Mapping[str, ModelPrice] = _NONE) -> None:
        """Read the prices that come along, and add `own`."""
        self._known: dict[str, ModelPrice] = {**_shipped(), **own}

    def find(self, model: str) -> ModelPrice | None:
        """Return what a model costs; None when nobody knows."""
        return next((self._known[name] for name in names_of(model) if name in self._known), None)

    def cost(self, model: str, usage: Usage) -> int:
        """Return the nanodollars that a model's answer has cost. Raises ConfigurationError for an unknown model.

        Where writing to the cache costs more, tokens that were not read from it are taken to be written to it, as usage
        does not tell: this may be more than the bill, and is not less.
        """
        cached = min(usage.cached_tokens, usage.input_tokens)
        rates = self._price(model).rates(usage.input_tokens)
        return rates.cost(usage.input_tokens - cached, cached, usage.output_tokens)

    def worst(self, model: str, prompt_tokens: int, output_tokens: int) -> int:
        """Return the nanodollars that a call costs at most: nothing cached, everything written.

        Raises ConfigurationError for an unknown model.
        """
        return self._price(model).rates(prompt_tokens).cost(prompt_tokens, 0, output_tokens)

    def _price(self, model: str) -> ModelPrice:
        price = self.find(model)
        if price is None:
            raise ConfigurationError(
                f"nobody knows what {model!r} costs: give its price as "
                f"Prices({{{model!r}: ModelPrice(input=…, cached_input=…, output=…, date=…, source=…)}})"
            )
        return price


def names_of(model: str) -> tuple[str, ...]:
    """Return the names under which a model may be listed, the closest first: its own, without provider or date."""
    names = dict.fromkeys((model, model.partition(":")[2] or model))
    return tuple(dict.fromkeys((*names, *(_DATED.sub("", name) for name in names))))


@cache
def _shipped() -> dict[str, ModelPrice]:
    table: dict[str, Any] = json.loads(files("assistant_kit").joinpath("prices.json").read_text("utf-8"))
    return {name: _model_price(**entry) for name, entry in table.items()}


def _model_price(*, long: dict[str, int], **entry: Any) -> ModelPrice:
    return ModelPrice(long=Rates(**long), **entry)
