"""Arguments and results of tools are masked text by text."""

import json

import pytest

from assistant_kit.json_masking import mask_json, replaced_in_json_lines, replaced_in_json_text, restore_json
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import Json

pytestmark = pytest.mark.anyio

VALUE: Json = {
    "to": ["ann@example.org", {"cc": "Bob <bob@example.org>"}],
    "ann@example.org": None,
    "urgent": True,
    "amount": 12.5,
    "count": 3,
    "nothing": [],
}


async def test_texts_and_names_of_properties_are_masked_and_restored() -> None:
    ann = RuleMasker(MemoryVault()).for_user("ann")
    masked = await mask_json(ann, VALUE)

    assert masked == {
        "to": ["<EMAIL_1>", {"cc": "Bob <<EMAIL_2>>"}],
        "<EMAIL_1>": None,
        "urgent": True,
        "amount": 12.5,
        "count": 3,
        "nothing": [],
    }
    assert await restore_json(ann, masked) == VALUE


async def test_a_private_number_becomes_a_text_and_stays_one() -> None:
    ann = RuleMasker(MemoryVault()).for_user("ann")
    masked = await mask_json(ann, {"card": 4111111111111111, "order": 4111111111111112})

    assert masked == {"card": "<CARD_1>", "order": 4111111111111112}
    assert await restore_json(ann, masked) == {"card": "4111111111111111", "order": 4111111111111112}


async def test_a_value_with_quotes_and_newlines_leaves_json_that_can_be_read() -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{'MIIEvQIBADANBgkq' * 4}\n-----END PRIVATE KEY-----"
    ann = RuleMasker(MemoryVault()).for_user("ann")
    masked = await mask_json(ann, {"key": f'"{key}"'})

    assert masked == {"key": '"<PRIVATE_KEY_1>"'}
    assert json.loads(json.dumps(await restore_json(ann, masked))) == {"key": f'"{key}"'}


async def test_what_the_model_wrote_keeps_its_pseudonyms() -> None:
    ann = RuleMasker(MemoryVault()).for_user("ann")
    await mask_json(ann, "ann@example.org")

    assert await mask_json(ann, ["<EMAIL_1>", "bob@example.org"], origin="model") == ["<EMAIL_1>", "<EMAIL_2>"]


def shout(text: str) -> str:
    return text.upper()


def test_json_text_in_which_nothing_is_replaced_stays_as_it_was_written() -> None:
    text = '{ "A": ["\\u0042", 1.50, true, null] }'
    assert replaced_in_json_text(text, shout) == text


def test_json_text_is_replaced_text_by_text_and_what_is_none_as_one_text() -> None:
    assert replaced_in_json_text('{"a": "b\\u0063"}', shout) == '{"A":"BC"}'
    assert replaced_in_json_text("{a: b", shout) == "{A: B"


def test_of_properties_of_one_name_only_the_last_one_is_left() -> None:
    assert replaced_in_json_text('{"A": "bob", "A": "X"}', shout) == '{"A":"X"}'


@pytest.mark.parametrize("levels", [101, 100_000])
def test_json_text_of_very_many_levels_is_one_text(levels: int) -> None:
    text = "[" * levels + '"b"' + "]" * levels
    assert replaced_in_json_text(text, shout) == text.upper()


def test_json_text_of_some_levels_is_looked_into() -> None:
    assert replaced_in_json_text("[" * 99 + '"\\u0062"' + "]" * 99, shout) == "[" * 99 + '"B"' + "]" * 99


def test_lines_of_json_objects_are_replaced_text_by_text_and_other_lines_as_one_text() -> None:
    assert replaced_in_json_lines('{"A": "\\nb"}\n{"A": "c"}', shout) == '{"A":"\\nB"}\n{"A":"C"}'
    assert replaced_in_json_lines(' ["\\nb"]', shout) == '["\\nB"]'
    assert replaced_in_json_lines('{"A": "b"}\n["c"]', shout) == '{"A": "B"}\n["C"]'
    assert replaced_in_json_lines('{"A": "b"}\n{"A": "c', shout) == '{"A": "B"}\n{"A": "C'
    assert replaced_in_json_lines("Say\n{a}", shout) == "SAY\n{A}"
