"""What a crash leaves to do is decided by the record alone, and nothing that may do harm is done twice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.entries import (
    ApprovalDecided,
    Entry,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.messages import Text, ToolCall, UserMessage
from assistant_kit.replay import KEY_MARGIN, MAX_BACKOFF, Record, due_at, given_up, record_of, verdict
from assistant_kit.settings import RecoverySettings
from assistant_kit.tool_spec import Effect, Keyed
from assistant_kit.usage import Usage

STARTED = TurnStarted(turn="t", input=UserMessage(content=(Text(text="pay"),)))
ASKED = ModelResponded(
    turn="t", step=1, model="m", items=(ToolCall(call_id="c1", name="pay", arguments="{}"),), usage=Usage()
)
CLAIMED = ToolStarted(
    turn="t", key="1.0", call_id="c1", tool="pay", arguments_hash="h", effect="once", idempotency_key="i"
)
DONE = ToolFinished(turn="t", key="1.0", call_id="c1", tool="pay", outcome="ok", content=())
WAITING = TurnFinished(turn="t", outcome="waiting", usage=Usage())
APPROVED = ApprovalDecided(turn="t", key="1.0", call_id="c1", arguments_hash="h", approved=True)
ANSWERED = ModelResponded(turn="t", step=2, model="m", items=(), usage=Usage())
ENDED = TurnFinished(turn="t", outcome="completed", usage=Usage())


def journal(*entries: Entry) -> list[Measured]:
    return [
        Measured(entry=entry, tokens=1, counted_by="x", seq=seq, at=100.0 + seq) for seq, entry in enumerate(entries, 1)
    ]


def known(record: Record) -> tuple[set[str], set[str], bool]:
    """The steps that are not run again, the calls that are in doubt or done, and whether the turn is over."""
    return set(record.steps), set(record.claims), record.finished is not None


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        ([STARTED], (set[str](), set[str](), False)),  # before or during the model call: ask the model
        ([STARTED, ASKED], ({"1"}, set[str](), False)),  # an answer, no intent: make the calls
        ([STARTED, ASKED, CLAIMED], ({"1"}, {"1.0"}, False)),  # an intent, no result: by the verdict
        ([STARTED, ASKED, CLAIMED, DONE], ({"1", "1.0"}, {"1.0"}, False)),  # a result: go on
        ([STARTED, ASKED, WAITING], ({"1"}, set[str](), False)),  # a pause is no end
        ([STARTED, ASKED, WAITING, APPROVED], ({"1"}, set[str](), False)),
        ([STARTED, ASKED, CLAIMED, DONE, ANSWERED], ({"1", "1.0", "2"}, {"1.0"}, False)),  # only the end is missing
        ([STARTED, ASKED, CLAIMED, DONE, ANSWERED, ENDED], ({"1", "1.0", "2"}, {"1.0"}, True)),  # nothing to do
    ],
)
def test_each_place_of_a_crash_leaves_its_record(entries: list[Entry], left: tuple[set[str], set[str], bool]) -> None:
    record = record_of(journal(*entries))
    assert known(record) == left
    assert record.started.entry == STARTED


def test_what_is_on_record_is_found_under_its_key() -> None:
    entries = journal(STARTED, ASKED, WAITING, APPROVED, CLAIMED, DONE, ENDED)
    record = record_of(entries)
    assert record == Record(
        started=entries[0],
        steps={"1": entries[1], "1.0": entries[5]},
        claims={"1.0": entries[4]},
        decisions={"1.0": APPROVED},
        finished=ENDED,
        paused=entries[2],
        since=entries[0].at,
    )


@pytest.mark.parametrize("entries", [[], [ASKED], [ENDED, STARTED]])
def test_a_record_begins_with_the_start_of_its_turn(entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match="turn_started"):
        record_of(journal(*entries))


def test_a_second_start_in_one_turn_changes_nothing() -> None:
    record = record_of(journal(STARTED, STARTED, replace(STARTED, turn="other"), ASKED))
    assert record.started.entry.turn == "t"
    assert set(record.steps) == {"1"}


def test_the_life_of_a_key_is_counted_from_the_first_attempt() -> None:
    again = replace(CLAIMED, attempt=2)
    claim = record_of(journal(STARTED, ASKED, CLAIMED, again)).claims["1.0"]
    assert (claim.entry, claim.at) == (again, 103.0)


def resumed(attempt: int) -> TurnResumed:
    return TurnResumed(turn="t", attempt=attempt)


SUSPENDED = TurnSuspended(turn="t", reason="down")
PARKED = TurnFinished(turn="t", outcome="parked", usage=Usage(), reason="it died")
THRICE = RecoverySettings(max_attempts=3, patience=1000.0, backoff=10.0)


@pytest.mark.parametrize(
    ("entries", "given"),
    [
        ([STARTED], False),
        ([STARTED, resumed(2)], False),
        ([STARTED, resumed(2), resumed(3)], True),  # the third worker has died
        ([STARTED, resumed(2), SUSPENDED, resumed(3), SUSPENDED], False),  # none of these died
        ([STARTED, resumed(2), SUSPENDED, resumed(3), resumed(4)], True),
        ([STARTED, resumed(2), resumed(3), PARKED], False),  # retried by hand: it begins anew
        ([STARTED, resumed(2), resumed(3), PARKED, resumed(2)], False),
        ([STARTED, resumed(2), resumed(3), PARKED, resumed(2), resumed(3)], True),
    ],
)
def test_a_turn_is_given_up_when_its_worker_has_died_too_often(entries: list[Entry], given: bool) -> None:  # noqa: FBT001
    assert (given_up(record_of(journal(*entries)), THRICE, now=200.0) is not None) == given


def test_a_turn_that_has_to_wait_is_given_up_after_a_while() -> None:
    waiting = record_of(journal(STARTED, resumed(2), SUSPENDED))
    assert given_up(waiting, THRICE, now=1101.0) is None
    reason = given_up(waiting, THRICE, now=1101.1)
    assert reason is not None
    assert "down" in reason
    retried = record_of(journal(STARTED, resumed(2), SUSPENDED, PARKED, resumed(2), SUSPENDED))
    assert given_up(retried, THRICE, now=1101.1) is None


@given(st.integers(1, 2000))
def test_the_pause_between_attempts_doubles_up_to_a_limit(times: int) -> None:
    entries = [STARTED, *([resumed(2), SUSPENDED] * times)]
    last = 100.0 + len(entries)
    assert due_at(record_of(journal(*entries)), THRICE) == last + min(10.0 * 2 ** min(times - 1, 20), MAX_BACKOFF)


def test_a_turn_whose_worker_died_is_due_at_once() -> None:
    assert due_at(record_of(journal(STARTED, resumed(2))), THRICE) == 0.0
    assert due_at(record_of(journal(STARTED, ASKED, WAITING)), THRICE) == 0.0


times = st.floats(0, 1e10)


@given(times, times)
def test_a_call_that_declares_nothing_is_never_repeated(claimed_at: float, now: float) -> None:
    assert verdict(CLAIMED, claimed_at=claimed_at, now=now) == "lost"


@given(times, times, st.sampled_from(["read", "idempotent"]))
def test_a_harmless_call_is_always_repeated(claimed_at: float, now: float, effect: Effect) -> None:
    assert verdict(replace(CLAIMED, effect=effect), claimed_at=claimed_at, now=now) == "repeat"


@given(times, times, st.floats(0.001, 1e9))
def test_a_keyed_call_is_repeated_only_while_its_key_lives_less_a_margin(
    claimed_at: float, now: float, ttl: float
) -> None:
    repeated = verdict(replace(CLAIMED, effect=Keyed(ttl)), claimed_at=claimed_at, now=now) == "repeat"
    assert repeated == (now < claimed_at + ttl * (1 - KEY_MARGIN))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_no_chain_of_crashes_repeats_a_keyed_call_after_its_key_has_died(pauses: list[int]) -> None:
    claim, now = replace(CLAIMED, effect=Keyed(60.0)), 0.0
    attempts = [Measured(entry=claim, tokens=0, counted_by="", at=now)]
    for pause in pauses:
        now += pause
        on_record = record_of([*journal(STARTED, ASKED), *attempts]).claims["1.0"]
        if verdict(claim, claimed_at=on_record.at, now=now) == "lost":
            break
        assert now < 60
        attempts.append(Measured(entry=claim, tokens=0, counted_by="", at=now))


def test_a_key_without_a_life_is_never_trusted() -> None:
    assert verdict(replace(CLAIMED, effect=Keyed(float("nan"))), claimed_at=0, now=0) == "lost"
