"""However a text is cut, the same is found in it, and little of it is held back."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant_kit.maskers.rules import Pattern, Recogniser, standard
from assistant_kit.maskers.rules.pseudonyms import pseudonym
from assistant_kit.maskers.rules.recogniser import ShapeRecogniser
from assistant_kit.maskers.rules.scanner import Part, Scanner, Search
from assistant_kit.protocols.masker import Private
from tests.maskers.rules.hostile import ENDLESS, steps


def words_with_x(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"x.{0,2}", text)]


OWN: tuple[Recogniser, ...] = (
    Pattern("ORDER", r"ORD-[0-9]+", longest=8),
    Pattern("DOUBLE", r"(?<=b)a+b\b", longest=3),
    Pattern("FUNCTION", words_with_x, within="line", longest=5),
    Pattern("QUOTED", r'"(?P<value>[^"]*)"', within="line", longest=10),
)
STANDARD, BOTH, ONLY_OWN = (Search(chosen, above=pseudonym()) for chosen in (standard(), (*standard(), *OWN), OWN))
VALUES = (
    "ann.smith@example.co.uk",
    "ann@exam-ple.org.",
    "+47 22 12 34 56",
    "+1 (212) 555-0123",
    "0049 30 1234567",
    "(212) 555-0123",
    "1-212-555-0123",
    "10.0.0.1",
    "255.255.255.255",
    "2001:db8::8a2e:370:7334",
    "::ffff:10.0.0.1",
    "4111 1111 1111 1111",
    "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "123-45-6789",
    "65 929 970 489",
    "postgresql://ann:s3cret@db.example.com:5432/chat",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "Bearer abcdef1234567890",
    "sk-proj-abcdefghijklmnop1234",
    "AKIAIOSFODNN7EXAMPLE",
    "password=hunter2!",
    '"api_key": "12345abcde"',
    f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEA' * 8}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj",
    "<EMAIL_1>",
    "<US_SSN_22>",
    "ORD-123456789",
    "baaab",
)


def beginning(value: str, end: int) -> str:
    return value[:end]


PIECES: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(VALUES),
    st.builds(beginning, st.sampled_from(VALUES), st.integers(1, 60)),
    st.text(st.sampled_from('0123456789 .:-@<>/+()_AEabx\n"#eyJ,4'), max_size=12),
    st.text(max_size=3),
    st.sampled_from([" ", ", ", ".", "\n", "-", "@", "://", "version ", "+", "_1>", "<", "<A", "aaaa.bbb", "1 2 3 "]),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


def joined(parts: Sequence[Part]) -> list[Part]:
    """Make one of texts that follow each other."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


def whole(search: Search, text: str) -> list[Part]:
    scanner = Scanner(search)
    return joined([*scanner.feed(text), *scanner.finish()])


def in_pieces(search: Search, text: str, places: Sequence[int]) -> list[Part]:
    scanner, parts = Scanner(search), list[Part]()
    for begin, end in pairwise([0, *sorted(places), len(text)]):
        parts += scanner.feed(text[begin:end])
    return joined([*parts, *scanner.finish()])


@pytest.mark.parametrize("search", [STANDARD, BOTH, ONLY_OWN], ids=["standard", "both", "own"])
@given(data=st.data(), text=TEXTS)
@settings(max_examples=60)
def test_a_text_that_is_cut_anywhere_has_the_same_values(search: Search, data: st.DataObject, text: str) -> None:
    expected = whole(search, text)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=12))

    assert in_pieces(search, text, places) == expected
    assert in_pieces(search, text, range(len(text))) == expected
    assert "".join(part if isinstance(part, str) else part.value for part in expected) == text


@pytest.mark.parametrize("value", VALUES)
def test_each_value_is_found_wherever_its_text_is_cut_in_two(value: str) -> None:
    text = f"See {value} and 4 more."
    expected = whole(BOTH, text)

    assert any(isinstance(part, Private) for part in expected)
    for place in range(len(text)):
        assert in_pieces(BOTH, text, [place]) == expected, place


@given(text=TEXTS)
@example(text=f"{VALUES[0]}{VALUES[2]}{VALUES[11]}{VALUES[13]}")
@settings(max_examples=60)
def test_every_letter_of_a_match_is_in_a_value_and_no_other(text: str) -> None:
    covered = [False] * len(text)
    for match in BOTH.find(text, 0, len(text), 0):
        covered[match.begin : match.end] = [True] * (match.end - match.begin)
    masked: list[bool] = []
    for part in whole(BOTH, text):
        masked += [isinstance(part, Private)] * len(part if isinstance(part, str) else part.value)

    assert masked == covered


@given(text=TEXTS, size=st.integers(1, 9))
@settings(max_examples=60)
def test_a_recogniser_may_be_asked_alone(text: str, size: int) -> None:
    for recogniser in (*standard(), *OWN):
        begun = 0
        found: set[tuple[int, int]] = set()
        for end in range(size, len(text) + size, size):
            sofar = text[:end]
            certain = recogniser.open(sofar, begun, 0)
            assert len(sofar) - recogniser.reach <= certain <= len(sofar) or certain == begun
            found.update(recogniser.find(sofar, begun, certain, 0))
            begun = certain
        found.update(recogniser.find(text, begun, len(text), 0))

        assert found == set(recogniser.find(text, 0, len(text), 0))


@pytest.mark.parametrize("more", [".5", ",x", "-b", "x", ". 5", ".5.", "@x.yz"])
@pytest.mark.parametrize("value", VALUES)
def test_what_stands_right_behind_a_value_counts_also_when_it_comes_later(value: str, more: str) -> None:
    text = value + more
    expected = whole(STANDARD, text)

    for place in range(len(value) - 1, len(text)):
        assert in_pieces(STANDARD, text, [place]) == expected, place
        assert in_pieces(STANDARD, text, range(place, len(text))) == expected, place


class Slow:
    """Finds one value, looking at a place before it, when it has seen a letter."""

    reach: int = 100
    behind: int = 100

    def __init__(self, kind: str, place: int, span: tuple[int, int], *, until: str = "") -> None:
        self.kind: str = kind
        self._place = place
        self._span = span
        self._until = until

    def open(self, text: str, begin: int, base: int) -> int:
        return len(text) if self._until in text else max(begin, self._place - base)

    def find(self, text: str, begin: int, end: int, base: int) -> list[tuple[int, int]]:
        assert base == 0, text
        return [self._span] if begin <= self._place < end else []


def test_a_value_that_is_known_late_and_begins_early_is_masked_whole() -> None:
    late, early = Slow("LATE", 2, (3, 7), until="!"), Slow("EARLY", 0, (5, 11))
    search = Search([late, early], above=pseudonym())
    scanner = Scanner(search)

    assert scanner.feed("0123456789abcd") == ["01"]
    assert [*scanner.feed("!"), *scanner.finish()] == [
        "2",
        Private(kind="LATE", value="34"),
        Private(kind="EARLY", value="56789a"),
        "bcd!",
    ]


@pytest.mark.parametrize("unit", ENDLESS.values(), ids=ENDLESS)
def test_of_an_endless_text_a_bounded_part_is_held_back(unit: str) -> None:
    short = [each for each in (*standard(), *OWN) if each.reach < 1_000]
    held = most_held(Search(short, above=pseudonym()), unit * (6_000 // len(unit)), size=500)

    assert held <= 2 * max(each.reach for each in short)


@pytest.mark.parametrize("beginning", ["-----BEGIN PRIVATE KEY-----", "eyJ", "Bearer "])
def test_of_an_endless_key_a_bounded_part_is_held_back(beginning: str) -> None:
    held = most_held(STANDARD, beginning + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj" * 2_500, size=5_000)

    assert 4_000 < held <= 2 * max(each.reach for each in standard())


def most_held(search: Search, text: str, *, size: int) -> int:
    scanner, held = Scanner(search), 0
    for begin in range(0, len(text), size):
        scanner.feed(text[begin : begin + size])
        held = max(held, scanner.held)
    return held


@pytest.mark.parametrize("unit", ENDLESS.values(), ids=ENDLESS)
def test_twice_the_text_takes_twice_the_steps(unit: str) -> None:
    once, twice = (steps(BOTH, unit * (size // len(unit))) for size in (1_500, 3_000))

    assert twice <= 2.3 * once + 200


@pytest.mark.parametrize(
    "expression",
    [text for each in standard() if isinstance(each, ShapeRecogniser) for text in (each.whole, each.begun)],
)
def test_every_repetition_in_a_shape_has_an_end(expression: str) -> None:
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", expression)

    assert "*" not in bare
    assert "+" not in bare
    assert re.search(r"\{[0-9]*,\}", bare) is None
