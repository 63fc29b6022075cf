"""The rule-based model maps plain sentences to calls, plays a turn again from its results, and answers."""

import json

import anyio
import pytest

from assistant_kit import Assistant
from assistant_kit.errors import ModelBroke, ModelRejected, ModelUnavailable
from assistant_kit.events import Token
from assistant_kit.messages import (
    Image,
    Item,
    JsonObject,
    Outcome,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
    user_message,
)
from assistant_kit.models.rule_model import Answer, Ask, Match, Result, Rule, RuleModel, Steps
from assistant_kit.protocols.model import ModelRequest, OutputSchema
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.usage import Usage
from tests.models.rule_conversation import ADD, HELLO, LOOK, Conversation, complete, failed

pytestmark = pytest.mark.anyio


async def test_a_sentence_becomes_a_call_and_its_result_an_answer() -> None:
    chat = Conversation(RuleModel([ADD]), {"add": "ok"})
    assert await chat.say("Add milk to my list!") == "Added milk."
    assert chat.rounds == [[("add", {"title": "milk"})]]


async def test_a_function_can_make_the_arguments_and_the_answer() -> None:
    def arguments(match: Match) -> JsonObject:
        return {"title": match.text("title").upper(), "tag": match.text("tag"), "clause": match.clause}

    def answer(match: Match, result: Result) -> Answer:
        return f"{match.text('title')}: {result.record['id']}"

    rule = Rule("add {title} [tagged {tag}]", tool="add", arguments=arguments, answer=answer)
    chat = Conversation(RuleModel([rule]), {"add": {"id": 7}})
    assert await chat.say("add milk") == "milk: 7"
    assert chat.rounds == [[("add", {"title": "MILK", "tag": "", "clause": "add milk"})]]


async def test_answers_show_what_the_result_holds_as_json() -> None:
    chat = Conversation(RuleModel([LOOK]), {"show": {"count": 2, "first": {"title": "milk"}}})
    assert await chat.say("show my list") == "You have 2 tasks, first milk."
    chat = Conversation(RuleModel([LOOK]), {"show": "no json"})
    assert await chat.say("show my list") == "You have  tasks, first ."
    chat = Conversation(RuleModel([LOOK]), {"show": "[" * 100_000})
    assert await chat.say("show my list") == "You have  tasks, first ."


async def test_small_talk_needs_no_tool() -> None:
    chat = Conversation(RuleModel([HELLO]), {})
    assert await chat.say("Good evening!") == "Hello!"
    assert chat.rounds == []


@pytest.mark.parametrize("outcome", ["error", "unknown", "cancelled", "denied"])
async def test_a_call_that_fails_is_never_answered_as_done(outcome: Outcome) -> None:
    plain = Conversation(RuleModel([ADD]), {"add": failed("the list is full", outcome)})
    said = await plain.say("add milk")
    assert "the list is full" in said
    assert "Added" not in said
    rule = Rule("add {title}", tool="add", answer="Added.", failure="No {title}: {result}")
    own = Conversation(RuleModel([rule]), {"add": failed("full", outcome)})
    assert await own.say("add milk") == "No milk: full"


async def test_of_several_rules_that_match_the_first_counts() -> None:
    chat = Conversation(RuleModel([Rule("add nothing", answer="Fine."), ADD]), {"add": "ok"})
    assert await chat.say("add nothing") == "Fine."


async def test_several_requests_in_one_message_are_done_one_after_another() -> None:
    chat = Conversation(RuleModel([ADD, LOOK, HELLO]), {"add": "ok", "show": {"count": 2, "first": {"title": "a"}}})
    said = await chat.say("Hello, add bread and butter, then add milk and show my list.")
    assert chat.rounds == [[("add", {"title": "bread and butter"})], [("add", {"title": "milk"})], [("show", {})]]
    assert said == "Hello!\nAdded bread and butter.\nAdded milk.\nYou have 2 tasks, first a."


async def test_neighbouring_requests_that_just_read_are_asked_for_together() -> None:
    model = RuleModel([ADD, Rule("count", tool="count"), Rule("show", tool="show")])
    chat = Conversation(model, {"add": "ok", "show": "nothing", "count": "0"})
    assert await chat.say("count, show, add milk, show and count") == "0\nnothing\nAdded milk.\nnothing\n0"
    assert [[name for name, _ in calls] for calls in chat.rounds] == [["count", "show"], ["add"], ["show", "count"]]


async def test_two_equal_requests_are_two_calls() -> None:
    chat = Conversation(RuleModel([ADD, LOOK]), {"add": "ok", "show": "{}"})
    assert await chat.say("add milk\nadd milk") == "Added milk.\nAdded milk."
    assert chat.rounds == [[("add", {"title": "milk"})], [("add", {"title": "milk"})]]
    await chat.say("show my list and show my list")
    assert chat.rounds == [[("show", {}), ("show", {})]]


async def test_a_rule_can_look_at_a_result_before_it_asks_for_the_next_call() -> None:
    model = RuleModel([Rule("complete {title}", steps=complete)])
    chat = Conversation(model, {"find": [3], "complete": "ok"})
    assert await chat.say("complete milk") == "Completed."
    assert chat.rounds == [[("find", {"title": "milk"})], [("complete", {"id": 3})]]
    none = Conversation(model, {"find": [], "complete": "ok"})
    assert await none.say("complete milk") == "There is no milk."


async def test_rules_with_steps_run_one_after_another() -> None:
    chat = Conversation(RuleModel([Rule("complete {title}", steps=complete)]), {"find": [3], "complete": "ok"})
    assert await chat.say("complete a and complete b") == "Completed.\nCompleted."
    assert [name for calls in chat.rounds for name, _ in calls] == ["find", "complete", "find", "complete"]


async def test_a_rule_can_use_what_happened_before_it() -> None:
    def again(match: Match) -> JsonObject:
        return {"title": match.earlier[-1].arguments["title"] if match.earlier else "nothing"}

    chat = Conversation(RuleModel([Rule("again", tool="add", arguments=again, answer="{result}"), ADD]), {"add": "ok"})
    await chat.say("again")
    assert chat.rounds == [[("add", {"title": "nothing"})]]
    await chat.say("add milk")
    await chat.say("again and again")
    assert chat.rounds == [[("add", {"title": "milk"})], [("add", {"title": "milk"})]]


async def test_requests_asked_for_together_do_not_see_each_other() -> None:
    def arguments(match: Match) -> JsonObject:
        return {"before": len(match.earlier)}

    chat = Conversation(RuleModel([Rule("show {what}", tool="show", arguments=arguments)]), {"show": "ok"})
    await chat.say("show a and show b")
    await chat.say("show a and show b")
    assert chat.rounds == [[("show", {"before": 2}), ("show", {"before": 2})]]


async def test_steps_see_what_clauses_before_them_did_and_not_what_they_do_themselves() -> None:
    seen: list[int] = []

    def count(match: Match) -> Steps:
        seen.append(len(match.earlier))
        yield Ask("show")
        return "counted"

    chat = Conversation(RuleModel([ADD, Rule("count", steps=count)]), {"add": "ok", "show": "ok"})
    assert await chat.say("add milk and count") == "Added milk.\ncounted"
    assert seen == [1, 1]


async def test_ids_of_calls_go_on_from_those_in_the_conversation() -> None:
    chat = Conversation(RuleModel([ADD]), {"add": "ok"})
    chat.items += [
        ToolCall(call_id="fc_9", name="x", arguments="["),
        ToolCall(call_id="call_7", name="x", arguments="[]"),
    ]
    chat.items += [failed("no"), ToolAnswer(call_id="call_7", content=())]
    await chat.say("add milk and add tea")
    await chat.say("add salt")
    ids = [item.call_id for item in chat.items if isinstance(item, ToolCall)]
    assert ids == ["fc_9", "call_7", "call_8", "call_9", "call_10"]


async def test_a_turn_that_another_model_began_is_finished_without_repeating_its_calls() -> None:
    items: list[Item] = [
        user_message("add milk"),
        ToolCall(call_id="fc_a", name="show", arguments='{"all": true}'),
        ToolCall(call_id="fc_b", name="add", arguments='{"title":"milk"}'),
        ToolAnswer(call_id="fc_a", content=()),
        ToolAnswer(call_id="fc_b", content=()),
    ]
    tools = [ToolSpec(name="add", description="", parameters={})]
    response = await RuleModel([ADD]).respond(ModelRequest(items=items, tools=tools), lambda _: None)
    assert response.text == "Added milk."


async def test_only_tools_of_the_request_are_asked_for() -> None:
    model = RuleModel([ADD, Rule("add {title}", answer="I cannot add."), Rule("complete {title}", steps=complete)])
    chat = Conversation(model, {}, tools=["other"])
    assert await chat.say("add milk") == "I cannot add."
    assert await chat.say("complete milk") == "There is no milk."
    request = ModelRequest(
        items=[user_message("add milk")],
        tools=[ToolSpec(name="add", description="", parameters={})],
        settings=ModelSettings(tool_choice="none"),
    )
    assert (await model.respond(request, lambda _: None)).text == "I cannot add."


async def test_what_no_rule_matches_is_answered_by_the_fallback() -> None:
    assert await Conversation(RuleModel([ADD], fallback="Sorry?"), {}).say("sing") == "Sorry?"
    own = RuleModel([ADD], fallback=lambda request: f"{len(request.items)} items")
    assert await Conversation(own, {}).say("sing") == "1 items"


async def test_the_standard_fallback_says_what_can_be_done_now() -> None:
    model = RuleModel([ADD, Rule("bye", answer="Bye.", example="bye"), Rule("hm", answer="Hm.")])
    both = await Conversation(model, {"add": "ok"}).say("sing")
    assert both.splitlines()[1:] == ["- add milk to my list", "- bye"]
    assert (await Conversation(model, {}).say("sing")).splitlines()[1:] == ["- bye"]
    assert len((await Conversation(RuleModel([]), {}).say("sing")).splitlines()) == 1


async def test_a_message_without_text_gets_the_fallback() -> None:
    model = RuleModel([Rule("{x}", answer="{x}")], fallback="Sorry?")
    for items in ([], [UserMessage(content=(Image(url="https://pictures.example/1"),))]):
        response = await model.respond(ModelRequest(items=items), lambda _: None)
        assert response.text == "Sorry?"


async def test_answers_are_streamed_word_by_word_when_somebody_reads() -> None:
    chat = Conversation(RuleModel([Rule("hello", answer="Good morning,  Ada.\n")]), {})
    assert await chat.say("hello") == "Good morning,  Ada.\n"
    assert chat.deltas == [Token("Good"), Token(" morning,"), Token("  Ada."), Token("\n")]
    assert await chat.say("hello", stream=False) == "Good morning,  Ada.\n"
    assert chat.deltas == []


async def test_responses_name_the_model_and_count_a_request_without_tokens() -> None:
    model = RuleModel([HELLO], name="basic")
    response = await model.respond(ModelRequest(items=[user_message("hello")]), lambda _: None)
    assert (response.model, response.usage, model.name) == ("basic", Usage(requests=1), "basic")
    await model.aclose()
    await model.aclose()


def weather(_match: Match, _result: Result) -> Answer:
    return {"rain": True}


@pytest.mark.parametrize(
    "rule",
    [Rule("rain", answer=weather), Rule("rain", tool="sky"), Rule("rain", answer='{"rain": true}')],
    ids=["a function", "a tool", "a text"],
)
async def test_structured_output_is_what_a_rule_gives_as_json(rule: Rule) -> None:
    request = ModelRequest(
        items=[
            user_message("rain?"),
            ToolCall(call_id="1", name="sky", arguments="{}"),
            ToolAnswer(call_id="1", content=(Text(text='{"rain": true}'),)),
        ],
        tools=[ToolSpec(name="sky", description="", parameters={})],
        output=OutputSchema(name="weather", schema={}),
    )
    response = await RuleModel([rule]).respond(request, lambda _: None)
    assert json.loads(response.text) == {"rain": True}


@pytest.mark.parametrize("text", ["hello", "sing", "rain and rain"])
async def test_structured_output_that_no_rule_gives_is_rejected(text: str) -> None:
    request = ModelRequest(items=[user_message(text)], output=OutputSchema(name="weather", schema={}))
    with pytest.raises(ModelRejected) as caught:
        await RuleModel([HELLO, Rule("rain", answer=weather)]).respond(request, lambda _: None)
    assert caught.value.model == "rules"


def breaks(_match: Match) -> JsonObject:
    raise LookupError("no such thing")


def unserialisable(_match: Match) -> JsonObject:
    return {"x": b""}


def endless(_match: Match) -> Steps:
    while True:
        yield Ask("not there")


@pytest.mark.parametrize(
    "rule",
    [
        Rule("go", tool="go", arguments=breaks),
        Rule("go", tool="go", arguments=unserialisable),
        Rule("go", answer=lambda match, _result: unserialisable(match)),
        Rule("go", steps=endless),
    ],
    ids=["arguments", "call", "answer", "steps"],
)
async def test_a_rule_that_fails_is_a_model_that_breaks_and_is_not_asked_again(rule: Rule) -> None:
    request = ModelRequest(items=[user_message("go")], tools=[ToolSpec(name="go", description="", parameters={})])
    with pytest.raises(ModelBroke) as caught:
        await RuleModel([rule]).respond(request, lambda _: None)
    assert caught.value.should_retry is False


async def test_a_fallback_that_fails_is_a_model_that_breaks() -> None:
    model = RuleModel([], fallback=lambda request: request.items[9].kind)
    with pytest.raises(ModelBroke):
        await model.respond(ModelRequest(items=[user_message("go")]), lambda _: None)


async def test_a_rule_can_raise_an_error_of_this_library() -> None:
    def down(_match: Match) -> JsonObject:
        raise ModelUnavailable("closed today", model="rules")

    with pytest.raises(ModelUnavailable):
        await Conversation(RuleModel([Rule("go", tool="go", arguments=down)]), {"go": "ok"}).say("go")


async def test_a_result_that_refers_to_an_earlier_one_is_read_as_that_one() -> None:
    tasks = "\n".join(f"task {number} of this long list" for number in range(30))

    def list_tasks() -> str:
        """List the tasks."""
        return tasks

    def tell(_match: Match, result: Result) -> Answer:
        return str(len(result.text.splitlines()))

    model = RuleModel([Rule("list", tool="list_tasks", answer=tell)])
    assistant = Assistant(model, tools=[list_tasks], store="memory:")
    with anyio.fail_after(10):
        said = [(await assistant.run("list", user="u", conversation="c")).output for _ in range(3)]
    assert said == ["30", "30", "30"]
