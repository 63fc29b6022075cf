"""What is shown of a conversation: summaries, cleared results, results that refer to an earlier one."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.conversation import measure, summary_message, turns_of
from assistant_kit.entries import Compacted, Entry, ModelResponded, Summary, ToolFinished, TurnStarted
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    OutputItem,
    Text,
    ToolAnswer,
    ToolCall,
    text_of,
    user_message,
)
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.turns import Block, Turn
from assistant_kit.usage import Usage
from assistant_kit.view import LEFT_OUT, View, alone, cleared, continued, followed_by, in_progress, refers, view_of
from tests.journals import Journal, check_well_formed, journals

COUNTER = UpperBound()
LONG, SHORT = "rain " * 90, "rain"


def compacted(
    before: int = 0,
    *,
    summaries: Sequence[str] = (),
    cleared_turn: str = "",
    cleared_step: int = 0,
    cleared_calls: int = 0,
) -> Compacted:
    return Compacted(
        turn="t",
        key="compact/1",
        before=before,
        summaries=tuple(Summary(text=text, first=1, last=before) for text in summaries),
        cleared_turn=cleared_turn,
        cleared_step=cleared_step,
        cleared_calls=cleared_calls,
        strategy="test",
        usage=Usage(),
    )


def asking(name: str, *results: str, arguments: str = "{}", seq: int = 0, kept: str = "", calls: int = 1) -> Turn:
    """A turn that calls a tool once a step, or more often with the same result, and then answers."""
    entries: list[Entry] = [TurnStarted(turn=name, input=user_message("hello"))]
    for step, result in enumerate(results, start=1):
        asked = [ToolCall(call_id=f"{name}{step}.{n}", name="weather", arguments=arguments) for n in range(calls)]
        entries.append(ModelResponded(turn=name, step=step, model="m", items=tuple(asked), usage=Usage()))
        entries += [
            ToolFinished(
                turn=name,
                key=f"{step}.{index}",
                call_id=call.call_id,
                tool="weather",
                outcome="ok",
                content=(Text(text=result),),
                kept=kept,
            )
            for index, call in enumerate(asked)
        ]
    said = (AssistantMessage(text="done"),)
    entries.append(ModelResponded(turn=name, step=len(results) + 1, model="m", items=said, usage=Usage()))
    return replace(turns_of([measure(entry, COUNTER) for entry in entries], COUNTER)[0], seq=seq)


def results_in(turns: Sequence[Turn]) -> list[str]:
    items = [item for turn in turns for block in turn.blocks for item in block.items]
    return [text_of(item.content) for item in items if isinstance(item, ToolAnswer)]


def shown(view: View) -> list[str]:
    """The results of a view: `long`, `short`, or the first words of what stands in their place."""
    names = {LONG: "long", SHORT: "short"}
    return [names.get(text, " ".join(text.split()[:4])) for text in results_in(view.shown)]


def test_a_conversation_is_shown_as_it_is_until_it_is_compacted() -> None:
    turns = [asking("a", LONG), asking("b", SHORT)]
    view = view_of(turns, COUNTER)
    assert view.shown == view.turns == tuple(turns)
    assert view.tokens == view.full == sum(turn.tokens for turn in turns)
    assert not view.refers


def test_turns_that_were_left_out_stay_out_and_summaries_stand_in_for_them() -> None:
    turns = [asking("a", seq=1), asking("b", seq=4), asking("c", seq=7)]
    view = view_of(turns, COUNTER, compacted=compacted(4, summaries=["Ann said hello.", "Twice."]))
    assert [turn.turn for turn in view.shown] == ["b", "c"]
    first, second, *rest = view.items
    assert (first, second) == tuple(
        summary_message(Summary(text=text, first=1, last=4)) for text in ("Ann said hello.", "Twice.")
    )
    assert rest == [item for turn in turns[1:] for block in turn.blocks for item in block.items]
    assert view.tokens == view.summaries.tokens + sum(turn.tokens for turn in turns[1:])


def test_results_are_cleared_before_a_step_of_a_turn() -> None:
    turns = [asking("a", LONG, SHORT), asking("b", LONG, LONG + "!"), asking("c", LONG + "?")]
    view = view_of(turns, COUNTER, compacted=compacted(cleared_turn="b", cleared_step=2))
    assert shown(view)[:3] == ["[This result was cleared", "short", "[This result was cleared"]
    assert results_in(view.shown)[3:] == [LONG + "!", LONG + "?"]
    assert view.refers
    assert "a/1.0" in results_in(view.shown)[0]
    assert view.tokens == sum(turn.tokens for turn in view.shown) < sum(turn.tokens for turn in turns)


def test_results_are_cleared_before_a_call_of_a_step() -> None:
    turn = asking("a", LONG, LONG + "!", calls=3)
    clearing = compacted(cleared_turn="a", cleared_step=2, cleared_calls=2)
    view = view_of([turn], COUNTER, compacted=clearing)
    assert shown(view)[:5] == ["[This result was cleared"] * 5
    assert results_in(view.shown)[5] == LONG + "!"
    assert cleared(turn, COUNTER, before=(2, 2)) == view.shown[0]


def refused(name: str, answer: str, *, accepted: str = "done") -> Turn:
    """A turn whose first answer was not accepted."""
    entries: list[Entry] = [
        TurnStarted(turn=name, input=user_message("hello")),
        responded(name, 1, AssistantMessage(text=answer)),
        replace(responded(name, 2, AssistantMessage(text=accepted)), prompt=DeveloperMessage(text="again")),
    ]
    return turns_of([measure(entry, COUNTER) for entry in entries], COUNTER)[0]


def responded(name: str, step: int, *items: OutputItem) -> ModelResponded:
    return ModelResponded(turn=name, step=step, model="m", items=items, usage=Usage())


def said(turn: Turn) -> list[str]:
    return [item.text for block in turn.blocks for item in block.items if isinstance(item, AssistantMessage)]


def test_an_answer_that_was_not_accepted_is_left_out_where_anything_is_cleared() -> None:
    turn = refused("a", LONG, accepted=LONG + "!")
    left = cleared(turn, COUNTER, before=(1, 0))
    assert said(left) == [LEFT_OUT, LONG + "!"]
    assert left.tokens == sum(block.tokens for block in left.blocks) < turn.tokens
    assert cleared(turn, COUNTER) == cleared(left, COUNTER) == left
    assert cleared(turn, COUNTER, before=(0, 0)) is turn
    assert view_of([turn], COUNTER).shown == (turn,)
    assert view_of([turn, asking("b")], COUNTER, compacted=compacted(cleared_turn="b")).shown[0] == left


def test_an_answer_stays_that_is_short_or_that_nothing_was_said_about() -> None:
    short, last = refused("a", SHORT), asking("b")
    assert cleared(short, COUNTER) is short
    assert said(cleared(last, COUNTER)) == ["done"]
    waiting = followed_by(last, [Block(items=(DeveloperMessage(text="again"),), tokens=9)])
    assert waiting.tokens == last.tokens + 9
    assert said(cleared(waiting, COUNTER)) == ["done"]
    asked = followed_by(refused("c", LONG), [Block(items=(DeveloperMessage(text="again"),), tokens=9)])
    assert said(cleared(asked, COUNTER)) == [LEFT_OUT, "done"]


def test_thoughts_alone_that_were_no_answer_are_left_out() -> None:
    turn = refused("a", "")
    thought = replace(turn.blocks[1], items=(), tokens=5_000)
    blocks = (turn.blocks[0], thought, turn.blocks[2])
    left = cleared(replace(turn, blocks=blocks, tokens=sum(block.tokens for block in blocks)), COUNTER)
    assert said(left)[0] == LEFT_OUT
    assert left.tokens < 500


def test_nothing_is_cleared_when_the_turn_that_is_named_has_left() -> None:
    turns = [asking("b", LONG)]
    assert shown(view_of(turns, COUNTER, compacted=compacted(cleared_turn="a", cleared_step=9))) == ["long"]


def test_everything_before_the_turn_in_progress_is_cleared_when_that_is_named() -> None:
    turns = [asking("a", LONG), asking("b", LONG + "!")]
    clearing = compacted(cleared_turn="c", cleared_step=2)
    view = view_of(turns, COUNTER, compacted=clearing, now="c")
    assert shown(view) == ["[This result was cleared"] * 2
    assert alone(view, COUNTER) == view.shown
    now = asking("c", LONG + "?", LONG + "??")
    after = continued(view, [now], COUNTER)
    assert after.shown == view_of([*turns, now], COUNTER, compacted=clearing).shown


def test_the_same_result_of_the_same_call_is_shown_once() -> None:
    turns = [
        asking("a", LONG),
        asking("b", LONG),
        asking("c", LONG, arguments='{"city":"Oslo"}'),
        asking("d", SHORT, SHORT),
    ]
    view = view_of(turns, COUNTER)
    assert shown(view) == ["long", "[The same result as", "long", "short", "short"]
    assert view.full == sum(turn.tokens for turn in turns)
    assert view.tokens == sum(turn.tokens for turn in view.shown) < view.full
    assert not view.refers
    assert alone(view, COUNTER) == tuple(turns)


def test_a_result_is_shown_again_when_the_one_it_referred_to_has_left_or_was_cleared() -> None:
    turns = [asking("a", LONG, seq=1), asking("b", LONG, seq=5)]
    assert shown(view_of(turns, COUNTER, compacted=compacted(5))) == ["long"]
    assert shown(view_of(turns, COUNTER, compacted=compacted(cleared_turn="b"))) == [
        "[This result was cleared",
        "long",
    ]


def test_the_turn_in_progress_refers_to_what_stands_before_it() -> None:
    view = view_of([asking("a", LONG)], COUNTER)
    now = asking("b", LONG, LONG + "!")
    assert results_in([in_progress(view, now, COUNTER)])[0].startswith("[The same result")
    clearing = view_of([], COUNTER, compacted=compacted(cleared_turn="b", cleared_step=2))
    assert results_in([in_progress(clearing, now, COUNTER)])[1] == LONG + "!"
    assert results_in([in_progress(clearing, now, COUNTER)])[0].startswith("[This result was cleared")


def test_a_result_of_which_only_a_part_is_shown_can_be_read_again() -> None:
    assert refers(asking("a", SHORT, kept="k"))
    assert view_of([asking("a", SHORT, kept="k")], COUNTER).refers
    assert not refers(asking("a", SHORT))


def test_clearing_leaves_short_results_and_is_done_once() -> None:
    turn = asking("a", LONG, SHORT, LONG + "!")
    once = cleared(turn, COUNTER)
    assert results_in([once])[1] == SHORT
    assert cleared(once, COUNTER) == once
    assert results_in([cleared(turn, COUNTER, before=(3, 0))])[2] == LONG + "!"
    assert cleared(turn, COUNTER, before=(0, 0)) is turn


@given(
    journal=journals(),
    place=st.integers(0, 6),
    step=st.integers(0, 4),
    call=st.integers(0, 2),
    first=st.integers(0, 30),
)
def test_a_view_is_whole_in_order_and_the_same_however_it_came_about(
    journal: Journal, place: int, step: int, call: int, first: int
) -> None:
    numbered = [replace(measured, seq=seq) for seq, measured in enumerate(journal.entries, start=1)]
    turns = turns_of(numbered, COUNTER)
    name = turns[min(place, len(turns) - 1)].turn if turns else ""
    entry = compacted(first, summaries=["before"], cleared_turn=name, cleared_step=step, cleared_calls=call)
    view = view_of(turns, COUNTER, compacted=entry)
    assert [turn.turn for turn in view.shown] == [turn.turn for turn in turns if turn.seq >= first]
    check_well_formed(tuple(view.items))
    assert view.tokens <= view.full
    assert view.tokens == view.summaries.tokens + sum(turn.tokens for turn in view.shown)
    grown = view_of([], COUNTER, compacted=entry)
    for turn in view.turns:
        before = tuple(grown.items)
        grown = continued(grown, [turn], COUNTER)
        if turn.turn != name:  # only then is it known up to where results are cleared
            assert tuple(grown.items)[: len(before)] == before or name in {one.turn for one in view.turns}
    if name not in {turn.turn for turn in view.turns[1:]}:
        assert tuple(grown.items) == tuple(view.items)
        assert (grown.tokens, grown.full) == (view.tokens, view.full)
