from assistant_kit.messages import AssistantMessage, Item, Text, ToolAnswer, ToolCall, UserMessage
from tests.simulation.rules import malformed

USER = UserMessage(content=(Text(text="go"),))
SAID = AssistantMessage(text="done")


def call(call_id: str) -> ToolCall:
    return ToolCall(call_id=call_id, name="pay", arguments="{}")


def answer(call_id: str) -> ToolAnswer:
    return ToolAnswer(call_id=call_id, content=(Text(text="paid"),))


def test_a_request_whose_calls_are_answered_in_order_is_well_formed() -> None:
    for items in (
        [USER],
        [USER, SAID, USER],
        [USER, call("a"), call("b"), answer("a"), answer("b"), SAID],
        [USER, call("a"), answer("a"), call("a"), answer("a")],
    ):
        assert malformed(items) is None


def test_a_request_with_a_call_that_is_not_answered_exactly_once_in_its_place_is_not() -> None:
    broken: list[list[Item]] = [
        [USER, call("a")],
        [USER, call("a"), USER, answer("a")],
        [USER, call("a"), call("b"), answer("b"), answer("a")],
        [USER, call("a"), answer("a"), answer("a")],
        [USER, call("a"), call("b"), answer("a"), call("c"), answer("b"), answer("c")],
        [USER, call(""), answer("")],
        [USER, answer("a")],
    ]
    for items in broken:
        assert malformed(items) is not None
