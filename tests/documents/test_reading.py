"""Documents are read from bytes, texts and files, within limits."""

import codecs
import os
import threading
import tracemalloc
from pathlib import Path
from unicodedata import category

import anyio
import pytest

from assistant_kit.documents import Document, ReadLimits, read_document
from assistant_kit.documents.limits import Watch
from assistant_kit.errors import DocumentUnreadable

pytestmark = pytest.mark.anyio

UMLAUTS = "Grüße aus Köln, für 5 €.\n\nZweiter Absatz."


async def read(
    data: bytes | str | Path, *, source: str = "", filename: str = "", media_type: str = "", title: str = ""
) -> Document:
    with anyio.fail_after(20):
        return await read_document(data, source=source, filename=filename, media_type=media_type, title=title)


async def problem_of(data: bytes | str | Path, limits: ReadLimits | None = None, *, media_type: str = "") -> str:
    with pytest.raises(DocumentUnreadable) as caught, anyio.fail_after(20):
        await read_document(data, source="the source", limits=limits, media_type=media_type)
    assert caught.value.source == "the source"
    return caught.value.problem


@pytest.mark.parametrize(
    "data",
    [
        UMLAUTS.encode(),
        codecs.BOM_UTF8 + UMLAUTS.encode(),
        codecs.BOM_UTF16_LE + UMLAUTS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + UMLAUTS.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + UMLAUTS.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + UMLAUTS.encode("utf-32-be"),
        UMLAUTS.encode("cp1252"),
        UMLAUTS.replace("\n", "\r\n").encode(),
        UMLAUTS.replace("\n", "\r").encode(),
    ],
)
async def test_text_is_read_in_its_encoding(data: bytes) -> None:
    document = await read(data, filename="a.txt")

    assert document.text == UMLAUTS
    assert document.media_type == "text/plain"
    assert [document.text[block.start : block.end].strip() for block in document.blocks] == UMLAUTS.split("\n\n")


async def test_a_declared_encoding_is_taken() -> None:
    document = await read("Привет, мир".encode("koi8-r"), media_type="text/plain; charset=koi8-r")

    assert document.text == "Привет, мир"


async def test_text_that_is_not_in_its_declared_encoding_is_refused() -> None:
    await problem_of(b"\xff\xfe\x00", media_type="text/plain")  # half a character behind the mark of UTF-16
    await problem_of("Привет".encode("koi8-r"), media_type="text/plain; charset=utf-8")
    await problem_of(b"words", media_type="text/plain; charset=klingon")
    await problem_of(b"words", media_type="text/plain; charset=zlib_codec")


@pytest.mark.parametrize("data", [bytes(range(256)) * 20, b"\x00\x01words", b"PK\x03\x04" + os.urandom(3000), "a\0b"])
async def test_binary_data_is_refused(data: bytes | str) -> None:
    await problem_of(data)


@pytest.mark.parametrize("data", [b"", b" \n\t ", codecs.BOM_UTF8, b"<html><body><script>x</script></body></html>"])
async def test_a_document_without_text_is_refused(data: bytes | str) -> None:
    await problem_of(data)


async def test_no_text_holds_what_a_database_cannot_keep() -> None:
    document = await read("colours \x1b[0m and half a pair \ud800 of surrogates, a few words more " + "and so on " * 30)

    assert not [char for char in document.text if category(char) in ("Cs", "Cc") and char != "\n"]


async def test_a_path_gives_source_name_and_format(tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text("# The guide\n\nWords.\n")

    document = await read(file)

    assert (document.source, document.title, document.media_type) == (str(file), "The guide", "text/markdown")


@pytest.mark.parametrize(
    ("data", "options", "media_type"),
    [
        (b"words", {"filename": "a.htm"}, "text/html"),
        (b"a,b\n1,2", {"filename": "a.csv"}, "text/csv"),
        (b"a\tb", {"source": "https://example.com/files/a.TSV"}, "text/tab-separated-values"),
        (b"words", {"media_type": "text/markdown; charset=utf-8"}, "text/markdown"),
        (b"words", {"media_type": "text/x-unknown"}, "text/plain"),
        (b"words", {"media_type": "application/octet-stream", "filename": "a.md"}, "text/markdown"),
        (b"  <!DOCTYPE html><p>words", {}, "text/html"),
        ("<!-- made by hand -->\n<html lang=en><p>words", {}, "text/html"),
        (b"words", {}, "text/plain"),
        (b"print(1)", {"filename": "a.py"}, "text/plain"),
    ],
)
async def test_the_format_is_what_is_declared_named_or_found(
    data: bytes | str, options: dict[str, str], media_type: str
) -> None:
    assert (await read(data, **options)).media_type == media_type


async def test_an_unknown_format_is_refused() -> None:
    await problem_of(b"PK words", media_type="application/zip")
    await problem_of("words", media_type="application/pdf")


async def test_a_title_that_is_given_goes_first() -> None:
    assert (await read("# Other", media_type="text/markdown", title="Mine")).title == "Mine"
    assert (await read("words", filename="folder/a.txt")).title == "a.txt"
    assert (await read("words")).title == "document"


async def test_rows_of_a_table_in_text_belong_together() -> None:
    document = await read("a,b\n1,2\n", filename="a.csv")

    assert [block.kind for block in document.blocks] == ["table"]


async def test_a_file_of_a_gigabyte_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.txt"
    with file.open("wb") as sparse:
        sparse.truncate(2**30)

    tracemalloc.start()
    try:
        await problem_of(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


async def test_what_is_larger_than_the_limits_is_refused() -> None:
    assert (await read_document(b"x" * 100, limits=ReadLimits(max_bytes=100))).text
    await problem_of(b"x" * 101, ReadLimits(max_bytes=100))
    await problem_of("x" * 101, ReadLimits(max_bytes=100))
    await problem_of(b"words " * 10, ReadLimits(max_characters=50))
    await problem_of(b"<p>words " * 10, ReadLimits(max_characters=70), media_type="text/html")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs files that are longer than they say")
async def test_a_file_that_is_longer_than_it_says_is_refused() -> None:
    await problem_of(Path("/proc/self/status"), ReadLimits(max_bytes=10))


async def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", tmp_path / "nu\0l", tmp_path / ("x" * 300)):
        await problem_of(path)


async def test_reading_ends_when_its_time_is_over() -> None:
    await problem_of("<a " * 400_000, ReadLimits(max_seconds=0.2), media_type="text/html")
    await problem_of("words", ReadLimits(max_seconds=0))


async def test_a_thread_that_nobody_waits_for_ends() -> None:
    watch = Watch("a", ReadLimits())
    watch.check()
    watch.leave()

    with pytest.raises(DocumentUnreadable):
        watch.check()


async def test_a_cancelled_reading_does_not_wait_for_its_thread() -> None:
    before = threading.active_count()
    with anyio.fail_after(20), anyio.move_on_after(0.05) as scope:
        await read_document("<a " * 2_000_000, media_type="text/html", limits=ReadLimits(max_bytes=10**8))

    assert scope.cancelled_caught
    assert threading.active_count() <= before + 2
