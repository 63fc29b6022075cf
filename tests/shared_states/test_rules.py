"""What changes come to, decided without a place."""

from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.protocols.shared_state import Changed
from assistant_kit.shared_states._combining import Decision
from assistant_kit.shared_states._rules import Held, Write, combined
from assistant_kit.testing.conformance.shared_state_workbench import increment, look, put

SPOT = ("o", "k")


def held(value: bytes, *, at: float = 100.0, until: float = 200.0) -> Held[int]:
    return Held(value=value, at=at, until=until, mark=7)


def written(value: bytes | None, *, at: float, keep: float = 86_400.0, seen: int | None = None) -> Write[int]:
    return Write(spot=SPOT, seen=seen, value=value, at=at, until=at + keep)


def test_changes_of_one_value_come_to_one_write() -> None:
    asked = [Decision(increment) for _ in range(3)]

    assert combined(SPOT, held(b"4"), asked, clock=150.0) == written(b"7", at=150.0, seen=7)
    assert [each.outcome() for each in asked] == [5, 6, 7]


def test_what_stays_equal_is_not_written() -> None:
    assert combined(SPOT, held(b"v"), [Decision(look), Decision(put(b"v"))], clock=150.0) is None
    assert combined(SPOT, held(b"v"), [Decision(put(b"w")), Decision(put(b"v"))], clock=150.0) is None
    assert combined(SPOT, None, [Decision(look)], clock=150.0) is None


def test_a_value_whose_time_is_over_is_none_and_still_replaced_by_its_mark() -> None:
    asked = Decision(increment)

    assert combined(SPOT, held(b"4"), [asked], clock=200.0) == written(b"1", at=200.0, seen=7)
    assert asked.outcome() == 1


def test_a_clock_that_was_set_back_counts_from_the_last_write_on() -> None:
    asked = Decision(look)
    combined(SPOT, held(b"v", at=100.0), [asked], clock=40.0)

    assert asked.outcome() == (b"v", 100.0)
    assert combined(SPOT, held(b"v"), [Decision(put(None))], clock=40.0) == written(None, at=100.0, keep=60.0, seen=7)


def test_the_last_change_says_how_long_a_value_is_kept() -> None:
    asked = [Decision(put(b"a", keep=5)), Decision(put(b"b", keep=2)), Decision(put(b"b", keep=9))]

    assert combined(SPOT, None, asked, clock=10.0) == written(b"b", at=10.0, keep=2)


def test_a_change_that_is_asked_again_is_told_by_what_it_said_last() -> None:
    answers = iter([ValueError("once"), Changed(value=b"v", result="then")])

    def change(_: bytes | None, __: float) -> Changed[str]:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    asked = Decision(change)
    assert combined(SPOT, None, [asked], clock=1.0) is None
    assert combined(SPOT, None, [asked], clock=1.0) == written(b"v", at=1.0)

    assert asked.outcome() == "then"


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 3))),
    st.one_of(st.none(), st.integers(0, 3)),
    st.floats(100, 300),
)
def test_together_changes_come_to_what_they_come_to_one_by_one(
    values: list[int | None], first: int | None, clock: float
) -> None:
    def as_bytes(value: int | None) -> bytes | None:
        return None if value is None else b"%d" % value

    stored = None if first is None else held(b"%d" % first)
    together = combined(SPOT, stored, [Decision(put(as_bytes(value))) for value in values], clock=clock)

    one_by_one = stored
    for value in values:
        write = combined(SPOT, one_by_one, [Decision(put(as_bytes(value)))], clock=clock)
        if write is not None:
            kept = write.value
            one_by_one = None if kept is None else Held(value=kept, at=write.at, until=write.until, mark=8)

    before = stored.value if stored is not None and stored.until > clock else None
    after = one_by_one.value if one_by_one is not None and one_by_one.until > clock else None
    assert after == (before if together is None else together.value)
