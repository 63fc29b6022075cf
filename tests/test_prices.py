"""Prices are data with a date and a source; a cost is a whole number of nanodollars, and never below the bill."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import assistant_kit
from assistant_kit.errors import ConfigurationError
from assistant_kit.prices import ModelPrice, Prices, Rates, names_of
from assistant_kit.usage import Usage

OWN = ModelPrice(input=1250, cached_input=125, output=10_000, date="2026-11-22", source="an offer")
LONG = Rates(input=2500, cached_input=250, output=15_000, cache_write=3125)
TIERED = ModelPrice(
    input=1250, cached_input=125, output=10_000, cache_write=1500, above=1000, long=LONG, date="2026-11-22", source="x"
)
PRICES = Prices({"own": OWN, "tiered": TIERED, "elsewhere:own": TIERED})
COUNTS = st.integers(0, 2_000_000)


def test_a_million_tokens_cost_what_the_price_list_says() -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=400_000, output_tokens=1_000_000, reasoning_tokens=900_000)
    assert PRICES.cost("own", usage) == 600_000 * 1250 + 400_000 * 125 + 1_000_000 * 10_000


def test_the_worst_case_has_nothing_in_the_cache() -> None:
    assert PRICES.worst("own", 100, 10) == 100 * 1250 + 10 * 10_000


def test_tokens_that_were_not_read_from_the_cache_may_have_been_written_to_it() -> None:
    assert PRICES.cost("tiered", Usage(input_tokens=100, cached_tokens=40)) == 60 * 1500 + 40 * 125


def test_a_long_prompt_costs_more_for_all_of_its_tokens() -> None:
    assert PRICES.worst("tiered", 1000, 1) == 1000 * 1500 + 10_000
    assert PRICES.worst("tiered", 1001, 1) == 1001 * 3125 + 15_000


@given(model=st.sampled_from(["own", "tiered", "gpt-5.6-luna"]), prompt=COUNTS, cached=COUNTS, output=COUNTS)
def test_no_answer_costs_more_than_the_worst_case_of_its_length(
    model: str, prompt: int, cached: int, output: int
) -> None:
    usage = Usage(input_tokens=prompt, cached_tokens=cached, output_tokens=output)
    assert 0 <= PRICES.cost(model, usage) <= PRICES.worst(model, prompt, output)


@pytest.mark.parametrize(
    "name", ["gpt-5.6-luna", "openai:gpt-5.6-luna", "gpt-5.6-luna-2026-09-01", "openai:gpt-5.6-luna-20260901"]
)
def test_a_model_is_found_with_its_provider_and_in_a_dated_version(name: str) -> None:
    price = Prices().find(name)
    assert price is not None
    assert (price.input, price.cached_input, price.output) == (200, 20, 1200)


@pytest.mark.parametrize(
    "name",
    ["gpt-5.6", "gpt-5.6-luna-mini", "gpt-5.6-luna-2026", "openai:ft:gpt-5.6-luna:shop::id", "openai:", "", "luna"],
)
def test_nothing_is_guessed(name: str) -> None:
    assert Prices().find(name) is None


def test_an_entry_with_a_provider_goes_before_one_without() -> None:
    assert PRICES.find("elsewhere:own-2026-01-01") == TIERED
    assert PRICES.find("openai:own") == OWN
    assert names_of("a:b-2026-01-01") == ("a:b-2026-01-01", "b-2026-01-01", "a:b", "b")


def test_your_price_replaces_the_one_that_comes_along() -> None:
    assert Prices({"gpt-5.6-luna": OWN}).find("openai:gpt-5.6-luna") == OWN


def test_an_unknown_model_is_an_error_that_says_how_to_give_its_price() -> None:
    with pytest.raises(ConfigurationError, match=re.escape("Prices({'mine': ModelPrice(")):
        PRICES.worst("mine", 1, 1)
    with pytest.raises(ConfigurationError):
        PRICES.cost("mine", Usage())


@pytest.mark.parametrize("rate", [1.25, -1, "1250"])
def test_a_rate_is_a_whole_number_of_nanodollars(rate: object) -> None:
    with pytest.raises(ConfigurationError):
        Rates(input=cast("int", rate), cached_input=0, output=0)
    with pytest.raises(ConfigurationError):
        ModelPrice(input=0, cached_input=0, output=cast("int", rate), date="2026-11-22", source="x")


def test_each_price_that_comes_along_has_a_date_and_a_source() -> None:
    path = Path(assistant_kit.__file__).with_name("prices.json")
    table = cast("dict[str, dict[str, Any]]", json.loads(path.read_text(encoding="utf-8")))
    assert table
    for name in table:
        price = Prices().find(name)
        assert price is not None
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", price.date)
        assert price.source.startswith("https://")
        assert price.long is not None
        assert price.cached_input < price.input < price.long.input
        assert price.input < price.cache_write
        assert price.input < price.output < price.long.output
