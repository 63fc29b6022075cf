from assistant_kit.protocols.store import Record
from assistant_kit.stores._rules import tail


def record(seq: int) -> Record:
    return Record(seq=seq, record_id=f"r{seq}", kind="k", body=b"", tokens=10, total_tokens=10 * seq, fence=1, at=0.0)


def test_a_tail_takes_one_record_more_than_fits_and_leaves_the_rest_of_the_journal_unread() -> None:
    newest_first = iter([record(seq) for seq in range(1000, 0, -1)])

    found = tail(newest_first, 30)

    assert [taken.seq for taken in found] == [998, 999, 1000]
    assert next(newest_first).seq == 996
