"""The judge knows where compactions, memories and kept texts belong, and finds those that stand elsewhere."""

import json
from collections.abc import Sequence

from assistant_kit.conversation import measure
from assistant_kit.entries import (
    Compacted,
    Entry,
    MemoriesExtracted,
    MemoriesRecalled,
    ModelResponded,
    ToolFinished,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.journal_json import encode
from assistant_kit.messages import AssistantMessage, Text, UserMessage
from assistant_kit.protocols.store import Record
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage
from tests.chaos.judge import KEPT, check_kept
from tests.chaos.turns import Turn, turns_in

STARTED = TurnStarted(turn="t", input=UserMessage(content=(Text(text="r1 plain"),)))
RECALLED = MemoriesRecalled(turn="t", memories=("m",), message=UserMessage(content=(Text(text="m"),)))
ANSWERED = ModelResponded(
    turn="t", step=1, model="m", items=(AssistantMessage(text="r1 plain: done"),), usage=Usage(requests=1)
)
FINISHED = TurnFinished(turn="t", outcome="completed", usage=Usage())
EXTRACTED = MemoriesExtracted(turn="t", until=1, memories=("m",), usage=Usage())


def compacted(key: str, before: int = 1) -> Compacted:
    return Compacted(turn="t", key=key, before=before, strategy="s", usage=Usage())


def read_back(*entries: Entry) -> tuple[list[Turn], int]:
    """The turns of a journal of these entries, and how much is wrong with it."""
    total, records = 0, list[Record]()
    for seq, entry in enumerate(entries, start=1):
        measured = measure(entry, UpperBound())
        total += measured.tokens
        records.append(
            Record(
                record_id=str(seq),
                kind=entry.kind,
                body=encode(measured),
                tokens=measured.tokens,
                total_tokens=total,
                seq=seq,
                fence=1,
                at=0.0,
            )
        )
    turns, wrong = turns_in("u/c", records)
    return turns, len(wrong)


def test_compactions_and_memories_stand_in_a_turn_or_behind_it_where_they_belong() -> None:
    entries = (
        STARTED,
        RECALLED,
        compacted("compact/1"),
        ANSWERED,
        FINISHED,
        EXTRACTED,
        compacted("compact/after/6", 4),
    )
    turns, wrong = read_back(*entries)
    assert wrong == 0
    assert [turn.outcome for turn in turns] == ["completed"]


def test_those_that_stand_elsewhere_are_found() -> None:
    spoiled: Sequence[Sequence[Entry]] = (
        (STARTED, ANSWERED, RECALLED, FINISHED),
        (STARTED, ANSWERED, EXTRACTED, FINISHED),
        (STARTED, compacted("compact/after/1"), ANSWERED, FINISHED),
        (STARTED, ANSWERED, FINISHED, compacted("compact/1")),
        (STARTED, compacted("compact/1"), compacted("compact/1"), ANSWERED, FINISHED),
        (STARTED, compacted("compact/1", 5), ANSWERED, FINISHED, compacted("compact/after/4", 2)),
    )
    assert [read_back(*entries)[1] for entries in spoiled] == [1] * len(spoiled)


def test_a_cut_result_whose_text_is_not_there_whole_is_found() -> None:
    end = ToolFinished(
        turn="t",
        key="1.0",
        call_id="c",
        tool="look",
        outcome="ok",
        content=(Text(text="one\n[… 3 characters left out …]\nthree"),),
        kept="k",
    )
    turn, *_ = read_back(STARTED, end)[0]

    def wrong(*pieces: str) -> int:
        body = json.dumps(pieces).encode()
        record = Record(record_id="1", kind="kept_text", body=body, tokens=0, total_tokens=0, seq=1, fence=1, at=0.0)
        return len(list(check_kept([turn], {("u", f"{KEPT}k"): [record] if pieces else []})))

    assert wrong("one\ntwo\n", "three") == 0
    assert wrong("one\ntwo\n") == wrong("two\n", "three") == wrong() == 1
