"""Makes room by letting a model sum up the oldest turns."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from math import log

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.compaction_rules import keep_newest, summaries_tokens
from assistant_kit.compactors.summarize import NOT_SUMMARIZED, SUMMARIZED, Summarize
from assistant_kit.deadline import Deadline
from assistant_kit.entries import Summary
from assistant_kit.errors import ConfigurationError, ModelRateLimited, ModelUnavailable, StoreUnavailable
from assistant_kit.messages import Text, UserMessage
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.request_tokens import REPLY, message_tokens, text_tokens
from assistant_kit.settings import ModelSettings
from assistant_kit.testing.scripted_model import Delay, Fail, Refuse, Say, ScriptedModel, Step
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage
from tests.compactors.crowding import COUNTER, after, check, conversations, crowded, said, summary

pytestmark = pytest.mark.anyio
PATIENCE = 20
DOWN = ModelUnavailable("it is down", model="scripted")


def turns_from(first: int, count: int) -> list[Turn]:
    """Turns of 500 tokens each."""
    return [said(number, f"question {number}".ljust(240), "a" * 250) for number in range(first, first + count)]


TURNS = turns_from(1, 8)  # 4,000 tokens


def texts_of(request: ModelRequest) -> list[str]:
    """The lines that a model was given to sum up."""
    (message,) = request.items
    assert isinstance(message, UserMessage)
    (part,) = message.content
    assert isinstance(part, Text)
    return part.text.split("\n")


def digest(request: ModelRequest) -> str:
    """Sum up by naming the questions that were asked."""
    lines = [json.loads(line) for line in texts_of(request)]
    return " ".join(
        word for line in lines for word in (line.get("summary") or line.get("user") or "").split() if word != "question"
    )


def ends(request: ModelRequest) -> str:
    """Sum up by naming the first and the last question."""
    questions = [word for word in digest(request).split() if "." in word]
    return f"{questions[0]} {'~' * 80} {questions[-1]}"


async def compacted(
    window: Crowded,
    *,
    keep_turns: int | None = None,
    max_summary_tokens: int = 512,
    fan_in: int = 4,
    max_input_tokens: int = 32_000,
) -> Compaction:
    summarize = Summarize(
        keep_turns=keep_turns,
        max_summary_tokens=max_summary_tokens,
        fan_in=fan_in,
        max_input_tokens=max_input_tokens,
    )
    with anyio.fail_after(PATIENCE):
        compaction = await summarize.compact(window)
    assert compaction is not None
    return compaction


async def test_the_turns_that_leave_are_summed_up() -> None:
    with ScriptedModel([Say("They asked much.", usage=Usage(requests=1, input_tokens=9))]) as model:
        window = crowded(TURNS, 2400, model=model)
        compaction = await compacted(window)
    check(compaction, window)
    assert compaction == Compaction(
        keep=4,
        summaries=(Summary(text="They asked much.", first=10, last=49),),
        strategy=SUMMARIZED,
        model="scripted",
        usage=Usage(requests=1, input_tokens=9),
    )
    (request,) = model.requests
    assert [json.loads(line) for line in texts_of(request)][:3] == [
        {"user": "question 1".ljust(240)},
        {"assistant": "a" * 250},
        {"user": "question 2".ljust(240)},
    ]
    assert len(texts_of(request)) == 8


async def test_a_request_is_bounded_and_streams_to_nobody() -> None:
    deadline = Deadline(1e12)
    with ScriptedModel(["Fine."]) as model:
        await Summarize(max_summary_tokens=32, settings=ModelSettings(temperature=0)).compact(
            crowded(TURNS, 2400, model=model, deadline=deadline)
        )
    (request,) = model.requests
    assert request.settings == ModelSettings(temperature=0, max_output_tokens=32)
    assert not request.stream
    assert request.deadline == deadline


async def test_a_model_that_thinks_before_it_writes_may_be_given_more() -> None:
    with ScriptedModel(["Fine."]) as model:
        given_more = Summarize(settings=ModelSettings(max_output_tokens=5000))
        assert await given_more.compact(crowded(TURNS, 2400, model=model)) is not None
    assert model.requests[0].settings.max_output_tokens == 5000


async def test_another_model_can_be_asked() -> None:
    with ScriptedModel(["Fine."], name="cheap") as cheap, ScriptedModel([]) as model:
        compaction = await Summarize(cheap).compact(crowded(TURNS, 2400, model=model))
    assert compaction is not None
    assert compaction.model == "cheap"


async def test_it_works_in_the_background() -> None:
    assert Summarize().in_background


async def test_fewer_turns_may_stay_word_for_word() -> None:
    with ScriptedModel(["Fine.", "Fine."]) as model:
        assert (await compacted(crowded(TURNS, 2400, model=model), keep_turns=2)).keep == 2
        assert (await compacted(crowded(TURNS, 2400, model=model), keep_turns=0)).summaries[0].last == 80


async def test_the_newest_turn_stays_as_long_as_it_can_be_sent() -> None:
    turns = [*TURNS, said(9, "q" * 3000)]
    model = ScriptedModel(["Fine."] * 9)
    longer = await compacted(crowded(turns, 2400, model=model, limit=5000))
    too_long = await compacted(crowded(turns, 2400, model=model, limit=3000))
    assert (longer.keep, longer.summaries[-1].last, longer.strategy) == (1, 89, SUMMARIZED)
    assert (too_long.keep, too_long.summaries[-1].last) == (0, 90)


async def test_when_everything_fits_nobody_is_asked() -> None:
    with ScriptedModel([]) as model:
        assert await Summarize(keep_turns=1).compact(crowded(TURNS, 4000, model=model)) is None


def test_settings_that_make_no_sense_are_refused() -> None:
    for make in (
        lambda: Summarize(fan_in=1),
        lambda: Summarize(max_summary_tokens=15),
        lambda: Summarize(keep_turns=-1),
    ):
        with pytest.raises(ConfigurationError):
            make()


# Summaries of summaries


async def test_the_summaries_that_are_there_stay_the_same_to_the_byte() -> None:
    summaries = [summary(0, "They met.", level=1), summary(1, "They ate.")]
    with ScriptedModel(["They danced."]) as model:
        compaction = await compacted(crowded(TURNS[1:], 2400, summaries=summaries, model=model))
    assert list(compaction.summaries[:2]) == summaries
    assert compaction.summaries[2:] == (Summary(text="They danced.", first=20, last=49),)


async def test_enough_summaries_of_one_level_are_summed_up_into_one_of_the_next() -> None:
    summaries = [summary(0, "They were born.", level=1), summary(1, "They met."), summary(2, "They ate.")]
    with ScriptedModel(["They danced.", "They met, ate and danced."]) as model:
        compaction = await compacted(crowded(TURNS[2:], 2400, summaries=summaries, model=model), fan_in=3)
    assert compaction.summaries == (
        summaries[0],
        Summary(text="They met, ate and danced.", first=10, last=49, level=1),
    )
    assert texts_of(model.requests[1]) == [
        '{"summary":"They met."}',
        '{"summary":"They ate."}',
        '{"summary":"They danced."}',
    ]
    assert compaction.usage.requests == 2


async def test_when_summaries_cannot_be_summed_up_they_stay(caplog: pytest.LogCaptureFixture) -> None:
    summaries = [summary(0), summary(1)]
    with ScriptedModel(["They danced.", Fail(DOWN)]) as model:
        compaction = await compacted(crowded(TURNS[1:], 2400, summaries=summaries, model=model), fan_in=3)
    assert [each.text for each in compaction.summaries] == ["They met.", "They met.", "They danced."]
    assert compaction.strategy == SUMMARIZED
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("target", "most", "deepest"), [(16_000, 3 * (1 + log(100, 4)), log(100, 4)), (3_200, 5, 12)])
async def test_a_long_conversation_costs_few_summaries_and_few_requests(target: int, most: int, deepest: int) -> None:
    """Each compaction sums up 11 turns. In the smaller window there is room for only five summaries of this length."""
    rounds = 100
    model = ScriptedModel([ends] * (2 * rounds))
    summaries: list[Summary] = []
    for number in range(rounds):
        turns = [said(10 * number + n, f"question {number}.{n}".ljust(20)) for n in range(1, 11)]
        window = crowded([*turns, said(10 * number + 11, "q" * target)], target, summaries=summaries, model=model)
        before = list(summaries)
        with anyio.fail_after(PATIENCE):
            compaction = await Summarize(keep_turns=0).compact(window)
        assert compaction is not None
        assert compaction.strategy == SUMMARIZED
        check(compaction, window)
        summaries = list(compaction.summaries)
        assert len(summaries) <= most
        same = [each for each in before if each in summaries]
        assert summaries[: len(same)] == same or target < 16_000  # what changes is the end
    assert len(model.requests) < rounds * 2
    assert summaries[0].first == 10
    assert summaries[0].text.startswith("0.1 ")
    assert max(each.level for each in summaries) <= deepest


async def test_summaries_that_outgrow_their_room_are_summed_up_earlier() -> None:
    summaries = [summary(number, "They met. " * 5, level=number) for number in range(3, 0, -1)]
    summaries.sort(key=lambda each: each.first)  # 104 tokens each
    with ScriptedModel(["They danced.", "Both."]) as model:
        window = crowded(TURNS[3:], 1500, summaries=summaries, model=model)
        compaction = await compacted(window)
    check(compaction, window)
    assert [(each.text, each.level) for each in compaction.summaries] == [
        ("Both.", 3),
        (summaries[2].text, 3),
        ("They danced.", 0),
    ]


async def test_the_youngest_summaries_are_the_first_to_be_summed_up() -> None:
    summaries = [summary(number, f"{number}: they met. " * 4, level=int(number < 3)) for number in range(1, 5)]
    with ScriptedModel(["Both.", "They danced."]) as model:
        compaction = await compacted(crowded(TURNS[4:], 1500, summaries=summaries, model=model))
    assert [each.text for each in compaction.summaries] == [
        summaries[0].text,
        summaries[1].text,
        "Both.",
        "They danced.",
    ]


async def test_a_conversation_can_go_on_in_a_smaller_window() -> None:
    summaries = [summary(number, "They met. " * 40, level=1) for number in range(1, 6)]  # 454 tokens each
    model = ScriptedModel([digest] * 20)
    window = crowded(turns_from(6, 3), 1600, summaries=summaries, model=model)
    compaction = await compacted(window, fan_in=9)
    check(compaction, window)
    assert compaction.strategy == SUMMARIZED
    assert compaction.summaries[0].first == 10
    assert compaction.summaries[-1].last == compaction.summaries[0].last or len(compaction.summaries) > 1


async def test_one_summary_that_is_too_long_for_a_smaller_window_is_shortened() -> None:
    with ScriptedModel(["They met often."]) as model:
        window = crowded([], 800, summaries=[summary(1, "They met. " * 80)], model=model)
        assert (await compacted(window)).summaries == (Summary(text="They met often.", first=10, last=19, level=1),)


# What was never shown


async def test_turns_that_were_never_shown_are_summed_up_page_by_page() -> None:
    earlier = turns_from(1, 60)
    model = ScriptedModel([digest] * 60)
    window = crowded(turns_from(61, 4), 8000, earlier=earlier, model=model)
    compaction = await compacted(window, max_input_tokens=4000)
    check(compaction, window)
    assert compaction.keep == 4
    assert compaction.strategy == SUMMARIZED
    assert (compaction.summaries[0].first, compaction.summaries[-1].last) == (10, 609)
    lasts = [each.last for each in compaction.summaries[:-1]]
    assert [each.first for each in compaction.summaries[1:]] == [last + 1 for last in lasts]
    text = " ".join(each.text for each in compaction.summaries)
    assert text.split() == [str(number) for number in range(1, 61)]
    assert all(sum(1 for _ in texts_of(request)) < 20 for request in model.requests)


async def test_what_was_never_shown_and_what_leaves_are_summed_up_together() -> None:
    with ScriptedModel([digest]) as model:
        window = crowded(TURNS[2:], 2400, earlier=TURNS[:2], model=model)
        compaction = await compacted(window)
    assert compaction.summaries == (Summary(text="1 2 3 4", first=10, last=49),)


async def test_what_was_never_shown_may_push_out_what_would_fit_without_it() -> None:
    with ScriptedModel([digest]) as model:
        window = crowded(TURNS[2:], 3000, earlier=TURNS[:2], model=model)
        compaction = await compacted(window)
    check(compaction, window)
    assert (compaction.keep, compaction.summaries[0].text) == (5, "1 2 3")


async def test_when_summing_up_breaks_off_what_is_done_stays() -> None:
    model = ScriptedModel([digest, digest, Fail(DOWN)])
    window = crowded(turns_from(61, 4), 8000, earlier=turns_from(1, 60), model=model)
    compaction = await compacted(window, max_input_tokens=6000)
    assert compaction.strategy == NOT_SUMMARIZED
    assert compaction.keep == 4
    assert [each.first for each in compaction.summaries] == [10, compaction.summaries[0].last + 1]
    assert compaction.usage.requests == 2


async def test_turns_that_were_summed_up_are_not_shown_again_when_the_rest_breaks_off() -> None:
    with ScriptedModel([digest, Fail(DOWN)]) as model:
        window = crowded(turns_from(1, 10), 2400, model=model)
        compaction = await compacted(window, max_input_tokens=2500)
    check(compaction, window)
    assert compaction.strategy == NOT_SUMMARIZED
    assert [each.text for each in compaction.summaries] == ["1 2 3"]


async def test_a_journal_that_cannot_be_read_is_an_error() -> None:
    async def broken() -> AsyncIterator[Sequence[Turn]]:
        yield TURNS[:1]
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        await Summarize().compact(replace(crowded(TURNS[1:], 2400), earlier=broken))


async def test_earlier_turns_may_come_from_any_iterator() -> None:
    class Pages:
        def __init__(self) -> None:
            self.left = [TURNS[:1], TURNS[1:2]]

        def __aiter__(self) -> "Pages":
            return self

        async def __anext__(self) -> Sequence[Turn]:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    with ScriptedModel([digest]) as model:
        compaction = await Summarize().compact(replace(crowded(TURNS[2:], 2400, model=model), earlier=Pages))
    assert compaction is not None
    assert compaction.summaries[0].text == "1 2 3 4"


# Pieces that are longer than the summarizer's window


async def test_a_turn_that_is_longer_than_a_request_is_summed_up_in_parts() -> None:
    giant = said(1, "q" * 3000, "a" * 9000)
    with ScriptedModel([*(f"Part {n}." for n in range(4)), "All."]) as model:
        window = crowded([giant, said(2)], 2400, model=model, limit=4000)
        compaction = await compacted(window, max_summary_tokens=100)
    assert compaction.summaries == (Summary(text="All.", first=10, last=19),)
    assert texts_of(model.requests[-1]) == [
        json.dumps({"summary": f"Part {n}."}, separators=(",", ":")) for n in range(4)
    ]
    for request in model.requests:
        (message,) = request.items
        assert isinstance(message, UserMessage)
        tokens = message_tokens(message.content, COUNTER) + text_tokens(request.instructions, COUNTER) + REPLY
        assert tokens <= 4000
    told = "".join("\n".join(texts_of(request)) for request in model.requests[:-1]).replace("\n", "")
    assert told == json.dumps({"user": "q" * 3000}, separators=(",", ":")) + json.dumps(
        {"assistant": "a" * 9000}, separators=(",", ":")
    )


async def test_a_window_in_which_nothing_can_be_summed_up_drops() -> None:
    with ScriptedModel([]) as model:
        tight = await compacted(crowded(TURNS, 2400, model=model, limit=900))
        tiny = await compacted(crowded(TURNS, 280, model=model))
    assert (tight.strategy, tight.keep) == (NOT_SUMMARIZED, 4)
    assert (tiny.strategy, tiny.keep) == (NOT_SUMMARIZED, 1)


async def test_parts_whose_summaries_do_not_become_fewer_are_given_up() -> None:
    giant = said(1, "q" * 3000, "a" * 9000)
    model = ScriptedModel(['"' * 100] * 99)  # takes twice as much in JSON
    window = crowded([giant, said(2)], 3200, model=model, limit=1058)
    compaction = await compacted(window, max_summary_tokens=100)
    check(compaction, window)
    assert compaction.strategy == NOT_SUMMARIZED
    assert len(model.requests) < 99


# Summaries that are none


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n ",
        Refuse("I cannot do that."),
        Say("It was cut off before its first", finish="length"),
        Say("It costs 3.", finish="length"),
        Say("", finish="length"),
        Say("Something bad.", finish="content_filter"),
        "endless" * 99,
        Fail(DOWN),
        Fail(ModelRateLimited("too many", model="scripted")),
        Fail(ConfigurationError("no key")),
        Delay(3600, "late"),
    ],
)
async def test_without_a_usable_summary_the_oldest_turns_are_dropped(
    answer: Step, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(PATIENCE), ScriptedModel([answer]) as model:
        # Only the one that waits for an hour gets near to its deadline.
        deadline = Deadline(anyio.current_time() + (0.05 if isinstance(answer, Delay) else 3600))
        window = crowded(TURNS[1:], 2400, summaries=[summary(1)], model=model, deadline=deadline)
        compaction = await Summarize().compact(window)
    assert compaction is not None
    check(compaction, window)
    dropped = keep_newest(window)
    assert (compaction.keep, compaction.summaries) == (dropped.keep, dropped.summaries)
    assert compaction.strategy == NOT_SUMMARIZED
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_summary_that_is_longer_than_what_it_replaces_is_none() -> None:
    with ScriptedModel(["They asked for nothing and got even less of that."]) as model:
        window = crowded([said(2)], 2400, earlier=[said(1)], model=model)
        assert (await compacted(window)).strategy == NOT_SUMMARIZED


async def test_a_summary_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    with ScriptedModel([Say("They met. They ate at 3.5 p. They da", finish="length")]) as model:
        compaction = await compacted(crowded(TURNS, 2400, model=model))
    assert compaction.summaries[0].text == "They met. They ate at 3.5 p."


async def test_a_summary_that_is_too_long_is_cut_at_the_end_of_a_sentence() -> None:
    with ScriptedModel(["They met. " * 50]) as model:
        compaction = await compacted(crowded(TURNS, 2400, model=model), max_summary_tokens=64)
    text = compaction.summaries[0].text
    assert text == ("They met. " * 6).strip()


async def test_a_sentence_that_is_too_long_is_cut_at_the_end_of_a_word() -> None:
    with ScriptedModel(["they met, " * 50]) as model:
        compaction = await compacted(crowded(TURNS, 2400, model=model), max_summary_tokens=64)
    assert compaction.summaries[0].text == ("they met, " * 6)[:-1]


async def test_a_summary_with_characters_that_cannot_be_stored_is_mended() -> None:
    with ScriptedModel(["They met\ud800."]) as model:
        assert (await compacted(crowded(TURNS, 2400, model=model))).summaries[0].text == "They met?."


async def test_cancelling_is_no_failed_summary() -> None:
    ended = False
    with ScriptedModel([Delay(3600, "late")]) as model, anyio.move_on_after(0.05) as scope:
        await Summarize().compact(crowded(TURNS, 2400, model=model))
        ended = True
    assert scope.cancelled_caught
    assert not ended


answers: st.SearchStrategy[Step] = st.one_of(
    st.text(max_size=200).map(Say),
    st.sampled_from(
        ["They met.", "They met. " * 20, "", Refuse("no"), Fail(DOWN), Say("They met. The", finish="length")]
    ),
)


@given(
    conversation=conversations(),
    target=st.integers(0, 1500),
    script=st.lists(answers, min_size=1, max_size=6),
    fan_in=st.integers(2, 4),
    keep_turns=st.one_of(st.none(), st.integers(0, 4)),
    request=st.sampled_from([1500, 2500, 32_000]),
)
@settings(max_examples=settings().max_examples // 3)
async def test_whatever_the_model_answers_the_rest_fits(
    conversation: tuple[list[Summary], list[Turn], list[Turn]],
    target: int,
    script: list[Step],
    fan_in: int,
    keep_turns: int | None,
    request: int,
) -> None:
    summaries, earlier, turns = conversation
    model = ScriptedModel(script * 300)
    window = crowded(turns, target, summaries=summaries, earlier=earlier, model=model)
    summarize = Summarize(fan_in=fan_in, keep_turns=keep_turns, max_input_tokens=request, max_summary_tokens=100)
    with anyio.fail_after(PATIENCE):
        compaction = await summarize.compact(window)
        if compaction is None:
            assert not earlier
            return
        check(compaction, window)
        if compaction.strategy == SUMMARIZED:
            told = [*summaries, *compaction.summaries]
            assert {place for each in told for place in (each.first,)} >= {each.first for each in summaries[:1]}
            assert await summarize.compact(after(compaction, window)) is None


async def test_real_tokens_are_counted() -> None:
    counter = TiktokenCounter()
    turns = [
        said(number, "What is the weather in Oslo? " * 10, "Rain. " * 20, counter=counter) for number in range(1, 30)
    ]
    with ScriptedModel(["They spoke of the weather in Oslo: rain."]) as model:
        window = crowded(turns, 1600, model=model, counter=counter)
        compaction = await compacted(window)
    check(compaction, window)
    assert summaries_tokens(compaction.summaries, counter) < 40
