"""Values of an application's own."""

import re

import pytest

from assistant_kit.errors import ConfigurationError
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import Pattern, RuleMasker

pytestmark = pytest.mark.anyio


async def masked(pattern: Pattern, text: str) -> str:
    return (await RuleMasker(MemoryVault(), [pattern]).for_user("ann").mask([text]))[0]


async def test_an_expression_finds_values_of_a_kind_of_its_own() -> None:
    assert await masked(Pattern("ORDER", r"\bORD-[0-9]+"), "ORD-12, ORD-13") == "<ORDER_1>, <ORDER_2>"
    assert await masked(Pattern("ORDER", re.compile("ord-[0-9]+", re.IGNORECASE)), "ORD-12") == "<ORDER_1>"


async def test_the_group_value_of_an_expression_is_the_value() -> None:
    assert await masked(Pattern("ORDER", r"no=(?P<value>[0-9]+)"), "no=12") == "no=<ORDER_1>"


async def test_a_function_finds_values() -> None:
    def names(text: str) -> list[tuple[int, int]]:
        return [(found, found + 3) for found in [text.find("Ann")] if found >= 0]

    assert await masked(Pattern("NAME", names), "Dear Ann, dear Anna") == "Dear <NAME_1>, dear <NAME_1>a"


async def test_what_a_function_says_that_is_outside_of_its_text_is_not_believed() -> None:
    assert await masked(Pattern("NAME", lambda _: [(-1, 2), (0, 99), (1, 1), (2, 1)]), "Dear Ann") == "Dear Ann"


async def test_a_value_goes_over_blanks_only_within_a_line() -> None:
    names = r"Ann\s+Smith"
    assert await masked(Pattern("NAME", names), "Ann Smith") == "Ann Smith"
    assert await masked(Pattern("NAME", names, within="line"), "Ann Smith\nAnn\nSmith") == "<NAME_1>\nAnn\nSmith"


@pytest.mark.parametrize("begin", range(25))
async def test_in_a_long_word_a_value_is_found_anywhere(begin: int) -> None:
    text = "y" * begin + "x1234567" + "y" * 40

    assert await masked(Pattern("LONG", "x[0-9]+", longest=8), text) == text.replace("x1234567", "<LONG_1>")


@pytest.mark.parametrize("kind", ["", "email", "1A", "A-B", "A" * 32, "Ä"])
def test_a_kind_is_capital_letters_digits_and_underscores(kind: str) -> None:
    with pytest.raises(ConfigurationError):
        Pattern(kind, "x")


def test_a_pattern_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Pattern("A", "(")
    with pytest.raises(ConfigurationError):
        Pattern("A", "x", longest=0)
    with pytest.raises(ConfigurationError):
        RuleMasker(MemoryVault(), [Pattern("TEXT", "x")])


def test_a_pattern_shows_its_kind() -> None:
    assert repr(Pattern("A", "x")) == "Pattern(A)"
