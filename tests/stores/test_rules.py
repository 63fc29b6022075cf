from dataclasses import replace
from itertools import islice, pairwise

import pytest

from assistant_kit import audit_chain
from assistant_kit.audit_chain import GENESIS, link_after
from assistant_kit.errors import InputError
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record
from assistant_kit.stores._rules import (
    Clock,
    chained,
    check_place,
    check_title,
    check_transaction,
    name_of_erased,
    noted,
    tail,
)

LEASE = Lease(conversation="c", owner="w", fence=3, seq=0, at=0.0)


def record(seq: int) -> Record:
    return Record(seq=seq, record_id=f"r{seq}", kind="k", body=b"", tokens=10, total_tokens=10 * seq, fence=1, at=0.0)


def writing(lease: Lease, *record_ids: str) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=b"x") for record_id in record_ids]
    return Append(lease=lease, expected_seq=0, records=records, state="open", open_turn=1)


def test_a_tail_takes_one_record_more_than_fits_and_leaves_the_rest_of_the_journal_unread() -> None:
    newest_first = iter([record(seq) for seq in range(1000, 0, -1)])

    found = tail(newest_first, 30)

    assert [taken.seq for taken in found] == [998, 999, 1000]
    assert next(newest_first).seq == 996


def test_a_clock_that_stands_still_or_goes_back_ticks_on() -> None:
    now = iter([5.0, 5.0, 5.0, 4.0, 3.0, 9.0])
    clock = Clock(lambda: next(now))

    ticks = list(islice(iter(clock.tick, None), 6))

    assert all(earlier < later for earlier, later in pairwise(ticks))
    assert (ticks[0], ticks[-1]) == (5.0, 9.0)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_place_at_or_before_the_last_record_is_there(place: int) -> None:
    check_place("c", place, records=2)


@pytest.mark.parametrize("place", [-1, 3])
def test_a_place_that_is_not_there_is_refused(place: int) -> None:
    with pytest.raises(InputError):
        check_place("c", place, records=2)


@pytest.mark.parametrize("title", ["", "título 😀", "x" * 4000])
def test_a_title_may_be_any_text_of_some_length(title: str) -> None:
    check_title(title)


@pytest.mark.parametrize("title", ["x" * 4001, "a\0b", "\ud800"])
def test_a_title_that_some_database_cannot_hold_is_refused(title: str) -> None:
    with pytest.raises(InputError):
        check_title(title)


def test_the_work_of_a_transaction_writes_under_its_lease() -> None:
    check_transaction(LEASE, writing(replace(LEASE, seq=7, at=1.0), "a"))

    for other in (replace(LEASE, fence=4), replace(LEASE, conversation="d")):
        with pytest.raises(InputError):
            check_transaction(LEASE, writing(other, "a"))
    with pytest.raises(InputError):
        check_transaction(LEASE, writing(LEASE, "a", "a"))


def test_the_made_up_name_of_an_erased_user_is_never_the_same() -> None:
    names = {name_of_erased() for _ in range(100)}

    assert len(names) == 100
    assert {(name[:7], len(name)) for name in names} == {("erased-", 39)}


def test_a_write_without_records_is_not_noted() -> None:
    assert noted(writing(LEASE)) is None
    note = noted(writing(LEASE, "a"))
    assert note is not None
    assert note.payload == audit_chain.appended("c", [("a", "k", 0, b"x")], fence=LEASE.fence).payload


def test_links_are_numbered_from_one_and_bound_to_the_one_before() -> None:
    notes = [audit_chain.deleted("c1"), audit_chain.deleted("c2")]

    first = chained(None, notes[0], at=1.5)
    second = chained(first, notes[1], at=2.25)

    assert (first.n, first.at_us, second.n, second.at_us) == (1, 1_500_000, 2, 2_250_000)
    assert first.link == link_after(GENESIS, notes[0].digest, 1_500_000)
    assert second.link == link_after(first.link, notes[1].digest, 2_250_000)
    assert (second.payload, second.salt, second.digest) == (notes[1].payload, notes[1].salt, notes[1].digest)
