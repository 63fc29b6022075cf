"""A journal as messages."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.conversation import (
    NOT_MADE,
    OUTCOME_UNKNOWN,
    Block,
    ToolCost,
    Turn,
    extended,
    measure,
    said_before,
    summary_message,
    tokens_of,
    turns_of,
)
from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    Measured,
    MemoriesRecalled,
    ModelResponded,
    Summary,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    OutputItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
    user_message,
)
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.request_tokens import request_tokens
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage
from tests.journals import Journal, check_well_formed, journals

COUNTER = UpperBound()
HELLO = user_message("hello!")
CALL_A = ToolCall(call_id="a", name="weather", arguments="{}")
CALL_B = ToolCall(call_id="b", name="pay", arguments="{}")
DONE = AssistantMessage(text="done")


def started(turn: str = "t1", said: UserMessage = HELLO) -> TurnStarted:
    return TurnStarted(turn=turn, input=said)


def responded(
    *items: OutputItem, step: int = 0, prompt: DeveloperMessage | None = None, reasoning: int = 0
) -> ModelResponded:
    usage = Usage(reasoning_tokens=reasoning)
    return ModelResponded(turn="t1", step=step, model="m", items=items, usage=usage, prompt=prompt)


def begun(call: ToolCall, key: str = "0.0") -> ToolStarted:
    return ToolStarted(
        turn="t1", key=key, call_id=call.call_id, tool=call.name, arguments_hash="", effect="once", idempotency_key=""
    )


def ended(call: ToolCall, text: str = "fine", key: str = "0.0") -> ToolFinished:
    content = (Text(text=text),)
    return ToolFinished(turn="t1", key=key, call_id=call.call_id, tool=call.name, outcome="ok", content=content)


def answer(call_id: str, text: str = "fine") -> ToolAnswer:
    return ToolAnswer(call_id=call_id, outcome="ok", content=(Text(text=text),))


def finished(turn: str = "t1") -> TurnFinished:
    return TurnFinished(turn=turn, outcome="completed", usage=Usage())


def turns(*entries: Entry, whole: bool = True) -> tuple[Turn, ...]:
    return turns_of([measure(entry, COUNTER) for entry in entries], COUNTER, whole=whole)


def messages(*entries: Entry) -> list[tuple[Item, ...]]:
    (turn,) = turns(*entries)
    return [block.items for block in turn.blocks]


def test_a_plain_turn_is_a_user_message_and_an_answer() -> None:
    (turn,) = turns(started(), responded(DONE), finished())
    assert turn.blocks == (Block(items=(HELLO,), tokens=4 + 6), Block(items=(DONE,), tokens=6 + 4))
    assert (turn.tokens, turn.started, turn.finished) == (20, started(), finished())


def test_calls_and_their_answers_are_one_block_in_the_order_of_the_calls() -> None:
    (turn,) = turns(
        started(),
        responded(CALL_A, CALL_B),
        begun(CALL_A),
        begun(CALL_B, "0.1"),
        ended(CALL_B, "paid", "0.1"),
        ended(CALL_A, "rain"),
        responded(DONE, step=1),
        finished(),
    )
    _, step, last = turn.blocks
    assert step.items == (CALL_A, CALL_B, answer("a", "rain"), answer("b", "paid"))
    assert step.results == (
        ToolCost(tool="weather", tokens=10 + 8 + 4, key="0.0"),
        ToolCost(tool="pay", tokens=10 + 4 + 4, key="0.1"),
    )
    assert step.tokens == (13 + 8 + 2) + (13 + 4 + 2) + 22 + 18
    assert last.items == (DONE,)


def test_what_the_run_told_the_model_comes_first_in_the_block_of_the_answer() -> None:
    repair = DeveloperMessage(text="repair it")
    assert messages(started(), responded(DONE, prompt=repair)) == [(HELLO,), (repair, DONE)]


def test_a_call_that_was_begun_and_has_no_end_is_reported_as_unknown() -> None:
    unknown = ToolAnswer(call_id="a", outcome="unknown", content=(Text(text=OUTCOME_UNKNOWN),))
    assert messages(started(), responded(CALL_A), begun(CALL_A)) == [(HELLO,), (CALL_A, unknown)]


def test_a_call_that_was_not_begun_is_reported_as_not_made() -> None:
    cancelled = ToolAnswer(call_id="a", outcome="cancelled", content=(Text(text=NOT_MADE),))
    assert messages(started(), responded(CALL_A)) == [(HELLO,), (CALL_A, cancelled)]


def test_a_made_up_answer_is_counted() -> None:
    (turn,) = turns(started(), responded(CALL_A))
    assert turn.blocks[1].results == (ToolCost(tool="weather", tokens=10 + 8 + len(NOT_MADE)),)
    assert turn.blocks[1].tokens == 13 + 8 + 2 + turn.blocks[1].results[0].tokens


def test_an_end_that_nobody_asked_for_is_passed_over() -> None:
    assert messages(started(), ended(CALL_B), begun(CALL_B), responded(DONE), ended(CALL_A)) == [(HELLO,), (DONE,)]


def test_an_end_that_comes_after_the_next_answer_is_passed_over() -> None:
    blocks = messages(started(), responded(CALL_A), begun(CALL_A), responded(DONE, step=1), ended(CALL_A))
    assert [type(item) for item in blocks[1]] == [ToolCall, ToolAnswer]
    assert blocks[2] == (DONE,)


def test_two_calls_with_one_id_are_told_apart_by_their_key() -> None:
    other = ToolCall(call_id="a", name="pay", arguments="{}", raw="{}")
    ends = (ended(other, "second", "0.1"), ended(CALL_A, "first", "0.0"))
    assert messages(started(), responded(CALL_A, other), *ends)[1] == (
        CALL_A, replace(other, call_id="a_2", raw=None), answer("a", "first"), answer("a_2", "second"),
    )  # fmt: skip


def test_a_call_gets_an_id_that_no_other_one_has() -> None:
    ids = ["a", "a", "a_2", "a"]
    items = messages(started(), responded(*(replace(CALL_A, call_id=call_id) for call_id in ids)))[1]
    named = ["a", "a_3", "a_2", "a_4"]
    assert [item.call_id for item in items if isinstance(item, ToolCall | ToolAnswer)] == [*named, *named]


def test_a_call_is_not_given_the_answer_of_another_one_with_its_id() -> None:
    other = replace(CALL_A, name="pay")
    (turn,) = turns(started(), responded(CALL_A, other), begun(CALL_A), ended(other, "paid", "0.1"))
    assert turn.blocks[1].items[2:] == (
        ToolAnswer(call_id="a", outcome="unknown", content=(Text(text=OUTCOME_UNKNOWN),)),
        answer("a_2", "paid"),
    )


def test_an_answer_under_a_key_that_no_call_has_is_that_of_the_first_call_with_its_id() -> None:
    items = messages(started(), responded(CALL_A, CALL_A), ended(CALL_A, "odd", "7.7"), ended(CALL_A, "mine", "0.0"))
    assert items[1][2:] == (answer("a", "mine"), answer("a_2", "odd"))


def test_an_answer_is_counted_under_the_name_by_which_the_model_reads_it() -> None:
    as_recorded = replace(CALL_A, name="")
    (turn,) = turns(started(), responded(CALL_A), ended(as_recorded))
    assert turn.blocks[1].results == (ToolCost(tool="weather", tokens=10 + 8 + 4, key="0.0"),)
    (same,) = turns(started(), responded(CALL_A), ended(CALL_A))
    assert turn.blocks == same.blocks


def test_an_id_that_a_server_uses_again_in_a_later_step_is_a_new_call() -> None:
    first, second = (
        (responded(CALL_A, step=step), begun(CALL_A, f"{step}.0"), ended(CALL_A, f"{step}", f"{step}.0"))
        for step in (0, 1)
    )
    blocks = messages(started(), *first, *second)
    assert blocks[1:] == [(CALL_A, answer("a", "0")), (CALL_A, answer("a", "1"))]


def test_a_second_end_of_a_call_does_not_change_what_the_model_has_read() -> None:
    assert messages(started(), responded(CALL_A), ended(CALL_A, "one"), ended(CALL_A, "two"))[1][1:] == (
        answer("a", "one"),
    )


def test_what_was_found_out_about_a_call_takes_the_place_of_its_unknown_outcome() -> None:
    unknown = replace(ended(CALL_A, "who knows"), outcome="unknown")
    found_out = CallResolved(
        turn="t1", key="0.0", call_id="a", tool="weather", outcome="ok", content=(Text(text="it rained"),)
    )
    (turn,) = turns(started(), responded(CALL_A), begun(CALL_A), unknown, finished(), found_out)
    assert turn.blocks[1].items[1] == answer("a", "it rained")
    assert turn.blocks[1].results == (ToolCost(tool="weather", tokens=10 + 8 + 9, key="0.0"),)
    assert turns(started(), responded(CALL_A), ended(CALL_A), replace(found_out, key="9.9"))[0].blocks[1].items[
        1
    ] == answer("a")


def test_what_was_recalled_stands_before_the_message_it_bears_on() -> None:
    recalled = MemoriesRecalled(turn="t1", memories=("m1",), message=user_message("likes rain"))
    (turn,) = turns(started(), recalled, responded(DONE))
    assert turn.blocks[0] == Block(items=(user_message("likes rain"), HELLO), tokens=(4 + 10) + (4 + 6))
    assert turn.recalled == ("m1",)
    assert turns(started(), responded(DONE), recalled)[0].recalled == ()


def test_later_requests_show_all_turns_but_those_that_failed_before_any_answer() -> None:
    failed = replace(finished(), outcome="failed")
    (answered,), (refused,), (open_still,) = (
        turns(started(), responded(DONE), failed),
        turns(started(), failed),
        turns(started()),
    )
    assert said_before([answered, refused, open_still]) == (answered, open_still)


def test_a_summary_is_counted_as_the_model_reads_it() -> None:
    summary = Summary(text="They spoke of rain.", first=1, last=4)
    compacted = Compacted(turn="t1", key="compact/1", before=5, summaries=(summary,), strategy="s", usage=Usage())
    request = ModelRequest(instructions="", items=(summary_message(summary),))
    frame = request_tokens(ModelRequest(instructions="", items=()), COUNTER)
    assert tokens_of(compacted, COUNTER) == request_tokens(request, COUNTER) - frame


def test_reasoning_that_nothing_follows_is_left_out() -> None:
    thought = Reasoning(text="hm", raw="{}")
    assert messages(started(), responded(thought, CALL_A, thought), ended(CALL_A))[1] == (
        thought, CALL_A, answer("a"),
    )  # fmt: skip
    assert messages(started(), responded(thought))[1] == ()


def test_an_approval_may_come_between_a_call_and_its_end() -> None:
    waiting = TurnFinished(turn="t1", outcome="waiting", usage=Usage())
    decided = ApprovalDecided(turn="t1", key="1.0", call_id="a", arguments_hash="", approved=True)
    (turn,) = turns(started(), responded(CALL_A), waiting, decided, begun(CALL_A), ended(CALL_A))
    assert turn.blocks[1].items == (CALL_A, answer("a"))
    assert turn.finished == waiting


def test_a_turn_whose_front_was_cut_off_is_dropped_unless_told_otherwise() -> None:
    cut = (ended(CALL_A), responded(DONE, step=1), finished(), started("t2"))
    assert [turn.turn for turn in turns(*cut)] == ["t2"]
    assert [turn.turn for turn in turns(*cut, whole=False)] == ["t1", "t2"]
    assert turns(*cut, whole=False)[0].blocks == (Block(items=(DONE,), tokens=10),)


def test_a_turn_of_which_no_message_is_left_is_dropped() -> None:
    assert turns(ended(CALL_A), finished(), whole=False) == ()


def test_a_start_that_comes_late_or_twice_is_passed_over() -> None:
    assert messages(started(), started(said=user_message("again"))) == [(HELLO,)]
    (turn,) = turns(responded(DONE), started(), whole=False)
    assert turn.started is None


def test_turns_are_in_the_order_in_which_they_began() -> None:
    assert [turn.turn for turn in turns(started("t2"), started("t1"), finished("t2"))] == ["t2", "t1"]


def test_a_count_by_this_counter_is_used_and_a_count_by_another_is_not() -> None:
    mine = Measured(entry=started(), tokens=1_000, counted_by="upper_bound")
    other = Measured(entry=started(), tokens=1_000, counted_by="o200k_base")
    assert [turns_of([entry], COUNTER)[0].tokens for entry in (mine, other)] == [1_000, 10]


def test_the_tokens_of_an_entry_are_those_that_it_adds_to_a_request() -> None:
    assert tokens_of(started(), COUNTER) == 4 + 6
    assert tokens_of(responded(DONE, prompt=DeveloperMessage(text="abc")), COUNTER) == 4 + 3 + 6 + 4
    assert tokens_of(responded(Reasoning(text="ab", raw="x" * 99), DONE, reasoning=30), COUNTER) == 6 + 30 + 6 + 4
    assert tokens_of(ended(CALL_B), COUNTER) == 10 + 4 + 4
    assert [tokens_of(entry, COUNTER) for entry in (begun(CALL_A), finished())] == [0, 0]


def test_an_entry_is_measured_with_the_name_of_the_counter() -> None:
    exact = TiktokenCounter()
    assert measure(started(), exact) == Measured(entry=started(), tokens=6, counted_by="o200k_base")


def test_extending_a_turn_keeps_the_messages_and_their_wire_forms() -> None:
    (turn,) = turns(started(), responded(CALL_A), begun(CALL_A))
    grown = extended(turn, [measure(ended(CALL_A), COUNTER)], COUNTER)
    item = grown.blocks[1].items[1]
    assert isinstance(item, ToolAnswer)
    assert item.wire_form("chat", lambda: b"once") == b"once"
    further = extended(grown, [measure(entry, COUNTER) for entry in (responded(DONE, step=1), finished())], COUNTER)
    assert further.blocks[:2] == grown.blocks
    assert further.blocks[1].items[1] is item
    assert further.blocks[1].items[1].wire_form("chat", lambda: b"twice") == b"once"
    assert further.finished == finished()


def test_entries_of_other_turns_do_not_extend_a_turn() -> None:
    (turn,) = turns(started())
    assert extended(turn, [measure(started("t2"), COUNTER), measure(finished("t2"), COUNTER)], COUNTER) == turn


@given(journal=journals(), whole=st.booleans())
def test_whatever_the_journal_holds_every_call_is_answered_once_directly_after(journal: Journal, whole: bool) -> None:  # noqa: FBT001
    for turn in turns_of(journal.entries, COUNTER, whole=whole):
        check_well_formed([item for block in turn.blocks for item in block.items])
        assert turn.tokens == sum(block.tokens for block in turn.blocks)


@given(journal=journals())
def test_a_turn_begins_with_the_message_of_its_user_and_holds_no_other(journal: Journal) -> None:
    for turn in turns_of(journal.entries, COUNTER):
        first, *rest = [item for block in turn.blocks for item in block.items]
        assert turn.started is not None
        assert first is turn.started.input
        assert not any(isinstance(item, UserMessage) for item in rest)


@given(journal=journals())
def test_a_front_cut_off_changes_nothing_in_the_turns_that_are_whole(journal: Journal) -> None:
    kept = turns_of(journal.entries, COUNTER)
    whole = turns_of(journal.whole, COUNTER)
    assert kept == whole[len(whole) - len(kept) :]


@given(journal=journals(), data=st.data())
def test_a_turn_extended_entry_by_entry_is_the_turn_read_at_once(journal: Journal, data: st.DataObject) -> None:
    for turn in turns_of(journal.whole, COUNTER):
        entries = [measured for measured in journal.whole if measured.entry.turn == turn.turn]
        grown = Turn(turn=turn.turn)
        while entries:
            length = data.draw(st.integers(1, len(entries)))
            grown = extended(grown, entries[:length], COUNTER)
            entries = entries[length:]
        assert grown == turn


@given(journal=journals())
def test_a_turn_is_counted_as_the_request_that_shows_it(journal: Journal) -> None:
    frame = request_tokens(ModelRequest(instructions="", items=()), COUNTER)
    for turn in turns_of(journal.entries, COUNTER):
        for block in turn.blocks:
            if any(isinstance(item, Reasoning) for item in block.items):
                continue  # the server's report of it is known to the journal alone
            request = ModelRequest(instructions="", items=block.items)
            assert request_tokens(request, COUNTER) - frame <= block.tokens


@pytest.mark.parametrize("counter", [COUNTER, TiktokenCounter()], ids=lambda counter: counter.name)
@given(journal=journals())
def test_the_count_of_a_turn_covers_the_text_in_it(counter: UpperBound | TiktokenCounter, journal: Journal) -> None:
    for turn in turns_of([measure(each.entry, counter) for each in journal.entries], counter):
        assert turn.tokens >= sum(_texts(item, counter) for block in turn.blocks for item in block.items)


def _texts(item: Item, counter: UpperBound | TiktokenCounter) -> int:
    match item:
        case UserMessage() | ToolAnswer():
            return sum(counter.count(part.text) for part in item.content if isinstance(part, Text))
        case ToolCall():
            return counter.count(item.name) + counter.count(item.arguments)
        case DeveloperMessage() | AssistantMessage():
            return counter.count(item.text)
        case _:
            return 0
