"""Documents are cut into chunks: within their size, by structure, alike every time, and without losing a word."""

import unicodedata

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.documents import Chunk, ChunkSettings, Document, EstimatedTokens, ReadLimits, read_document
from assistant_kit.documents.chunking import chunks_of
from assistant_kit.documents.limits import Watch
from assistant_kit.documents.sentences import sentences, visible_cut
from assistant_kit.errors import DocumentUnreadable
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound

SMALL = ChunkSettings(max_tokens=40, overlap=10, min_tokens=8)
LARGER = ChunkSettings(max_tokens=60, overlap=10, min_tokens=12)
SENTENCE = "Some words stand here. "


def read(text: str, kind: str = "text/markdown") -> Document:
    async def reading() -> Document:
        with anyio.fail_after(20):
            return await read_document(text, media_type=kind)

    return anyio.run(reading)


def cut(
    text: str, kind: str = "text/markdown", *, sizes: ChunkSettings = SMALL, counter: TokenCounter | None = None
) -> tuple[Chunk, ...]:
    document = read(text, kind)
    return chunks_of(document, Watch("a", ReadLimits()), counter=counter or UpperBound(), settings=sizes)


def texts(text: str, kind: str = "text/markdown", *, sizes: ChunkSettings = SMALL) -> list[str]:
    return [chunk.text for chunk in cut(text, kind, sizes=sizes)]


@settings(max_examples=60)
@given(
    text=st.text(st.sampled_from("aB .!?\n#-|`>é字\u0301👩\u200d🇩🇪。 \t1"), min_size=1, max_size=400).filter(str.strip),
    kind=st.sampled_from(["text/markdown", "text/plain", "text/csv"]),
    room=st.integers(8, 60),
)
def test_chunks_together_have_all_of_the_text_and_none_is_too_large(text: str, kind: str, room: int) -> None:
    document = read(text, kind)
    sizes = ChunkSettings(max_tokens=room, overlap=room // 4, min_tokens=room // 6)
    chunks = chunks_of(document, Watch("a", ReadLimits()), counter=UpperBound(), settings=sizes)

    assert chunks == chunks_of(document, Watch("a", ReadLimits()), counter=UpperBound(), settings=sizes)
    reached = 0
    for chunk in chunks:
        place = chunk.location
        assert chunk.text == document.text[place.start : place.end] == chunk.text.strip()
        assert not document.text[reached : place.start].strip()
        assert place.first_line == document.text.count("\n", 0, place.start) + 1
        assert place.last_line == document.text.count("\n", 0, place.end) + 1
        assert UpperBound().count(chunk.text) <= room
        assert reached < place.end
        reached = place.end
    assert not document.text[reached:].strip()


def test_sections_are_kept_apart_and_short_ones_go_with_the_next() -> None:
    text = "# A\n\n## B\n\n" + SENTENCE + "\n\n## C\n\n" + SENTENCE + "\n\n# D\n\nx"
    chunks = cut(text, sizes=LARGER)

    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["# A", "## C", "# D"]
    assert [chunk.location.headings for chunk in chunks] == [("A", "B"), ("A", "C"), ("D",)]


def test_a_short_section_takes_the_headings_that_it_shares_with_the_next() -> None:
    (chunk,) = cut("# A\n\n## B\n\nx\n\n## C\n\ny", sizes=ChunkSettings(max_tokens=60, overlap=10, min_tokens=30))

    assert chunk.location.headings == ("A",)
    assert cut("# A\n\n## B")[0].location.headings == ("A", "B")


def test_paragraphs_and_items_are_kept_whole_where_they_fit() -> None:
    first, second = "One two three four five six.", "Seven eight nine ten eleven."

    assert texts(f"{first}\n\n{second}", sizes=LARGER) == [first, second]
    assert texts(f"- {first}\n- {second}", sizes=LARGER) == [f"- {first}", f"- {second}"]


def test_a_long_paragraph_is_cut_between_sentences_and_overlaps_by_sentences() -> None:
    chunks = texts("One two. Three four five six. Seven. Eight nine ten. Eleven twelve.", "text/plain")

    assert all(chunk.endswith(".") for chunk in chunks)
    assert [chunk[0].isupper() for chunk in chunks] == [True] * len(chunks)
    assert any(second.startswith("Seven.") for second in chunks[1:])


def test_code_and_tables_are_cut_between_lines_and_do_not_overlap() -> None:
    rows = [f"| row {number} | value |" for number in range(6)]
    code = [f"value_{number} = {number}" for number in range(8)]

    assert "\n".join(texts("\n".join(["| a | b |", "|---|---|", *rows]))).split("\n")[2:] == rows
    assert "\n".join(texts("```\n" + "\n".join(code) + "\n```")).split("\n") == ["```", *code, "```"]


def test_blank_lines_alone_are_no_chunk() -> None:
    assert texts("```\na\n" + "\n" * 200 + "b\n```\n") == ["```\na", "b\n```"]
    assert texts("a,b\n" * 20, "text/csv")[-1].endswith("a,b")


def test_what_has_no_place_to_cut_is_cut_between_visible_characters() -> None:
    family = "👩\u200d👩\u200d👧"
    for text in ("x" * 200, "字" * 50, "e\u0301" * 60, family * 10, "🇩🇪" * 20, "\u1112\u1161\u11ab" * 20, "👍🏽" * 20):
        pieces = texts(text, "text/plain")
        assert "".join(pieces) == text
        assert len({piece[:2] for piece in pieces}) == 1
        assert not [piece for piece in pieces if unicodedata.combining(piece[0]) or piece[0] in "\u200d🏽"]


def test_a_visible_character_without_end_is_cut_all_the_same() -> None:
    assert visible_cut("a" + "\u0301" * 500, 0, 300) == 300
    assert "".join(texts("a" + "\u0301" * 500, "text/plain")) == "a" + "\u0301" * 500


def test_a_change_leaves_distant_chunks_as_they_were() -> None:
    words = [f"Sentence number {number} says something of its own." for number in range(400)]
    sizes = ChunkSettings(max_tokens=100, overlap=0)
    before = cut(" ".join(words), "text/plain", sizes=sizes, counter=EstimatedTokens())
    after = cut(" ".join(["A new one.", *words]), "text/plain", sizes=sizes, counter=EstimatedTokens())

    same = {chunk.text for chunk in before} & {chunk.text for chunk in after}
    assert len(before) > 40
    assert len(same) >= len(before) - 10


def test_chunks_know_their_pages_and_lines() -> None:
    first, second = cut("One line.\nAnother one is here.\n\nA third, much longer line.", "text/plain", sizes=LARGER)

    assert (first.location.first_line, first.location.last_line) == (1, 2)
    assert (second.location.first_line, second.location.last_line) == (4, 4)


def test_a_document_of_too_many_chunks_is_refused() -> None:
    with pytest.raises(DocumentUnreadable):
        cut(SENTENCE * 50, sizes=ChunkSettings(max_tokens=40, overlap=0, max_chunks=5))


def test_cutting_ends_when_nobody_waits_for_it() -> None:
    watch = Watch("a", ReadLimits())
    watch.leave()

    with pytest.raises(DocumentUnreadable):
        chunks_of(read(SENTENCE), watch, counter=UpperBound(), settings=SMALL)


@pytest.mark.parametrize("sizes", [(7, 0, 1), (40, 21, 1), (40, -1, 1), (40, 0, 0)])
def test_sizes_that_make_no_sense_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="chunk"):
        ChunkSettings(max_tokens=sizes[0], overlap=sizes[1], max_chunks=sizes[2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("He said “no.” Then he left.", ["He said “no.” ", "Then he left."]),
        ("See Dr. Who, i.e. him, on 3. May, No. 7. So", ["See Dr. Who, i.e. him, on 3. May, No. 7. So"]),
        ("Version 1.2.3 is out... and good. Yes", ["Version 1.2.3 is out... and good. ", "Yes"]),
        ("一。二。三", ["一。", "二。", "三"]),
        ("One\n\nTwo\n  \n  Three", ["One\n\n", "Two\n  \n  ", "Three"]),
        ("Ends.\nNew line", ["Ends.\n", "New line"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences_end_where_readers_see_them_end(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text, 0, len(text))] == expected


def test_tokens_are_estimated_from_bytes() -> None:
    assert [EstimatedTokens().count(text) for text in ("", "a", "words " * 7, "字" * 7)] == [0, 1, 12, 6]
