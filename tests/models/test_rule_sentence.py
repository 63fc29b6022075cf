"""How the rule-based model reads sentences: templates, filler, several requests in one message."""

import re
from collections.abc import Callable, Mapping, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import (
    Text,
    UserMessage,
)
from assistant_kit.models.rule_model import Rule, RuleModel
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.tool_spec import ToolSpec
from tests.models.rule_conversation import ADD, HELLO, LOOK, SWITCH, Conversation, complete

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("sentence", "title"),
    [
        ("add milk", "milk"),
        ("PUT Milk on my LIST.", "Milk"),
        ("add  oat   milk  to my list", "oat milk"),
        ('add "milk and honey" to my list', "milk and honey"),
        ("add “Yahoo!”", "Yahoo!"),
        ("add bread and butter", "bread and butter"),
        ("add\nmilk", "milk"),
        ("add it's", "it's"),
        ('add "', '"'),
    ],
)
async def test_a_template_reads_many_forms_of_one_sentence(sentence: str, title: str) -> None:
    chat = Conversation(RuleModel([ADD]), {"add": "ok"})
    await chat.say(sentence)
    assert chat.rounds == [[("add", {"title": title})]]


async def test_slots_fill_the_arguments_that_a_rule_gives_in_a_mapping() -> None:
    count = Rule(
        "order {n:int} of {what}", tool="order", arguments={"count": "{n}", "note": "{n} x {what}", "gift": False}
    )
    chat = Conversation(RuleModel([count, SWITCH]), {"order": "ok", "switch": ""})
    await chat.say("order #12 of tea")
    assert chat.rounds == [[("order", {"count": 12, "note": "12 x tea", "gift": False})]]
    assert await chat.say("Turn on the living room light") == "Done."
    assert chat.rounds == [[("switch", {"where": "living room", "to": "on", "by": 1})]]


async def test_a_regular_expression_is_a_pattern_too() -> None:
    rule = Rule([re.compile(r"(?x) ^ \+ (?P<title>.+) $"), "new {title}"], tool="add", answer="{result}")
    chat = Conversation(RuleModel([rule]), {"add": "all right"})
    assert await chat.say("+milk") == "all right"
    assert await chat.say("NEW milk") == "all right"
    assert chat.rounds == [[("add", {"title": "milk"})]]


async def test_a_message_is_not_parted_where_a_part_would_match_no_rule() -> None:
    chat = Conversation(RuleModel([ADD]), {"add": "ok"})
    await chat.say("add milk and sing a song")
    assert chat.rounds == [[("add", {"title": "milk and sing a song"})]]


async def test_a_message_of_very_many_parts_is_read_whole() -> None:
    chat = Conversation(RuleModel([ADD]), {"add": "ok"})
    await chat.say("add a, " * 30)
    assert len(chat.rounds) == 1
    assert len(chat.rounds[0]) == 1


async def test_filler_words_around_a_clause_mean_nothing() -> None:
    filler = ["please", "(could|can) you", "thanks [a lot]"]
    chat = Conversation(RuleModel([ADD], filler=filler), {"add": "ok"})
    assert await chat.say("Could you please, add milk, please and add tea, thanks a lot!") == "Added milk.\nAdded tea."
    assert await chat.say("Add salt and thanks") == "Added salt."
    alone = Conversation(RuleModel([Rule("please", answer="What?")], filler=filler), {})
    assert await alone.say("Please!") == "What?"


async def test_words_that_join_clauses_can_be_those_of_another_language() -> None:
    model = RuleModel([Rule("{title} kaufen", tool="add", answer="{title}")], joiners=["und", "&"])
    chat = Conversation(model, {"add": "ok"})
    assert await chat.say("Milch kaufen und Salz and Pfeffer kaufen & Tee kaufen") == "Milch\nSalz and Pfeffer\nTee"
    alone = Conversation(RuleModel([ADD], joiners=[]), {"add": "ok"})
    assert await alone.say("add a and add b; add c") == "Added a and add b.\nAdded c."


async def test_an_overlong_message_gets_the_fallback_at_once() -> None:
    model = RuleModel([Rule("{a} to {b} to {c} to {d}", answer="{a}")], fallback="Too much.")
    assert await Conversation(model, {}).say("to " * 100_000) == "Too much."


REFUSED: Mapping[str, Callable[[], object]] = {
    "no pattern": lambda: Rule([], answer="x"),
    "nothing to do": lambda: Rule("x"),
    "steps and an answer": lambda: Rule("x", steps=complete, answer="x"),
    "no such slot in the answer": lambda: Rule("x {a}", answer="{b}"),
    "no such slot in the failure": lambda: Rule("x {a}", tool="x", failure="{b.c}"),
    "no such slot in the arguments": lambda: Rule("x {a}", tool="x", arguments={"b": "{b}", "n": 1}),
    "no such slot in a regular expression": lambda: Rule(re.compile("(?P<a>x)"), answer="{b}"),
    "an example that does not match": lambda: Rule("add {title}", tool="add", example="remove milk"),
    "no end": lambda: Rule("(add|put {title}", tool="add"),
    "no beginning": lambda: Rule("add] {title}", tool="add"),
    "the wrong end": lambda: Rule("(add] {title}", tool="add"),
    "a bar on its own": lambda: Rule("add | {title}", tool="add"),
    "half a slot": lambda: Rule("add {title", tool="add"),
    "an unknown type": lambda: Rule("add {n:float}", tool="add"),
    "one slot twice": lambda: Rule("add {n} or {n}", tool="add"),
    "malformed filler": lambda: RuleModel([], filler=["(please"]),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_rule_that_cannot_work_is_refused_when_it_is_written(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize(
    ("template", "yes", "no"),
    [
        ("[please] add {x}", ["add a", "please add a"], ["pleaseadd a", "adda", "add"]),
        ("task[s] (of|for [me])", ["task of", "tasks for", "tasks for me"], ["task s of", "tasks of me"]),
        ("what's up", ["what's up", "what\u2019s  UP"], ["whats up"]),
        ("a.c (x y|z)", ["a.c x y", "a.c z"], ["abc z", "a.c x"]),
        ("say: {w:word}!", ["say: a!"], ["say: a b!"]),
    ],
)
def test_templates_mean_what_they_look_like(template: str, yes: Sequence[str], no: Sequence[str]) -> None:
    rule = Rule(template, answer="x")
    assert [clause for clause in (*yes, *no) if rule.match(clause) is not None] == list(yes)


@given(st.text(max_size=300))
async def test_any_message_gets_an_answer_or_calls(text: str) -> None:
    model = RuleModel([ADD, SWITCH, LOOK, HELLO], filler=["please"], fallback="Sorry?")
    tools = [ToolSpec(name=name, description="", parameters={}) for name in ("add", "switch", "show")]
    request = ModelRequest(items=[UserMessage(content=(Text(text=text),))], tools=tools)
    response = await model.respond(request, lambda _: None)
    assert response.text or response.tool_calls


@given(
    st.lists(st.sampled_from(["a", "and", "to", ",", ", ", "\n", "\n\n", " ", '"', "please", "add", "."]), max_size=600)
)
async def test_hostile_messages_are_read_in_bounded_time(words: list[str]) -> None:
    model = RuleModel([Rule("add {a} to {b}", answer="{a}"), ADD], filler=["please", "[a] to"], fallback="Sorry?")
    with anyio.fail_after(5):
        await model.respond(ModelRequest(items=[UserMessage(content=(Text(text="".join(words)),))]), lambda _: None)
