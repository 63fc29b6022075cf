"""What pictures and documents cost."""

import struct
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.media_tokens import PAGE, UNSEEN_FILE, dimensions, file_tokens, image_tokens
from assistant_kit.messages import File, Image
from assistant_kit.token_counters.upper_bound import UpperBound

COUNTER = UpperBound()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00"


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 1_002) + bytes(1_000)
    tables = b"\xff\xff\xc4" + struct.pack(">H", 10) + bytes(8)
    return b"\xff\xd8" + exif + tables + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00\x00\x00\x00" + body + bytes(10)


def webp_lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height))


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


MAKERS = [png, gif, jpeg, webp_lossy, webp_lossless, webp_extended]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (1_023, 16_000)])
def test_the_size_is_read_from_the_header(make: Callable[[int, int], bytes], size: tuple[int, int]) -> None:
    assert dimensions(make(*size)) == size


@pytest.mark.parametrize("make", MAKERS)
def test_a_header_that_is_cut_off_gives_no_size_and_no_error(make: Callable[[int, int], bytes]) -> None:
    whole = make(640, 480)
    for length in range(len(whole)):
        assert dimensions(whole[:length]) in (None, (640, 480))
    assert dimensions(whole[:12]) in (None, (640, 480))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BM\x00\x00",
        png(0, 5),
        webp(b"VP9 ", bytes(20)),
        b"\xff\xd8\x00\x00\x00\x00",
        b"\xff\xd8\xff\xda\x00\x02\x00\x00",
    ],
)
def test_what_is_no_known_picture_has_no_size(data: bytes) -> None:
    assert dimensions(data) is None


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    for magic in (b"", b"\xff\xd8", b"GIF89a", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"RIFF0000WEBPVP8 "):
        size = dimensions(magic + data)
        assert size is None or min(size) > 0


def test_a_hostile_jpeg_costs_no_time() -> None:
    began = time.process_time()
    assert dimensions(b"\xff\xd8" + b"\xff" * 20_000_000) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        # examples of https://developers.openai.com/api/docs/guides/images-vision, the dearest rule of each
        ((1_024, 1_024), "high", 2_520),  # 1,024 patches at 2.46; 765 by tiles
        ((1_024, 1_024), "low", 630),
        ((1_800, 2_400), "high", 3_779),  # 4,275 patches, cut to 1,536 at 2.46
        ((3_200, 960), "auto", 3_779),  # 3,000 patches at 1.2 are 3,600
        ((6_400, 3_200), "auto", 24_000),  # 20,000 patches at 1.2
        ((100, 100), "auto", 255),  # one tile
        ((65_535, 65_535), "auto", 36_000),  # as much as any model takes
    ],
)
def test_a_picture_costs_what_the_dearest_documented_rule_says(size: tuple[int, int], detail: str, tokens: int) -> None:
    image = Image(data=png(*size), media_type="image/png", detail=detail)  # pyright: ignore[reportArgumentType]
    assert image_tokens(image) == tokens


@pytest.mark.parametrize(("detail", "tokens"), [("low", 630), ("high", 3_779), ("auto", 36_000)])
def test_a_picture_that_cannot_be_seen_costs_the_most(detail: str, tokens: int) -> None:
    by_url = Image(url="https://example.com/a.png", detail=detail)  # pyright: ignore[reportArgumentType]
    unknown = Image(data=b"BM", media_type="image/bmp", detail=detail)  # pyright: ignore[reportArgumentType]
    assert [image_tokens(by_url), image_tokens(unknown)] == [tokens, tokens]


@given(st.integers(1, 70_000), st.integers(1, 70_000), st.sampled_from(["auto", "high", "low"]))
def test_a_known_size_never_costs_more_than_an_unknown_one(width: int, height: int, detail: str) -> None:
    known = Image(data=png(width, height), detail=detail)  # pyright: ignore[reportArgumentType]
    unknown = Image(url="https://example.com/a.png", detail=detail)  # pyright: ignore[reportArgumentType]
    assert 0 < image_tokens(known) <= image_tokens(unknown)


def object_stream(unpacked: bytes) -> bytes:
    return (
        b"5 0 obj << /Type /ObjStm /N 2 /Filter /FlateDecode >> stream\r\n" + zlib.compress(unpacked) + b"\nendstream"
    )


PAGES = b"<< /Type /Pages /Count 2 >> << /Type /Page >> <</Type/Page/Parent 1 0 R>>"


@pytest.mark.parametrize(
    ("file", "tokens"),
    [
        (File(data=b"a,b\n1,2\n", media_type="text/csv"), 8),
        (File(data=b"{}", media_type="application/json; charset=utf-8"), 2),
        (File(data=b"\xff", media_type="text/plain"), 3),
        (File(data=bytes(500), media_type="application/msword"), 500),
        (File(data=bytes(500)), 500),
        (File(url="https://example.com/a.pdf"), UNSEEN_FILE),
        (File(data=b"%PDF-1.4 " + PAGES, media_type="application/pdf"), 2 * PAGE),
        (File(data=b"%PDF-1.7 " + object_stream(PAGES)), 2 * PAGE),
        (File(data=b"%PDF-1.7 nothing", media_type="application/pdf"), 16),
    ],
)
def test_a_document_costs_its_text_its_pages_or_its_bytes(file: File, tokens: int) -> None:
    assert file_tokens(file, COUNTER) == tokens


@pytest.mark.parametrize(
    "data",
    [
        PAGES + b"/ObjStm >> stream\n encrypted",
        PAGES + object_stream(bytes(1 << 20)),
        PAGES + object_stream(b"x") * 300,
    ],
)
def test_a_pdf_whose_pages_cannot_be_told_costs_a_token_a_byte(data: bytes) -> None:
    assert file_tokens(File(data=data, media_type="application/pdf"), COUNTER) == len(data)
