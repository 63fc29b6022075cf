"""What pictures and documents cost: OpenAI's documented rules, as an upper bound over its models.

Source of the picture rules: https://developers.openai.com/api/docs/guides/images-vision (autumn 2026). A window does
not know which model reads a picture, so the dearest rule counts. gpt-4o-mini is left out: it charges 33 times what
the others do (2,833 tokens and 5,667 a tile), which would make pictures unusable everywhere else.
"""

import re
import zlib
from math import ceil

from assistant_kit.messages import File, Image
from assistant_kit.protocols.token_counter import TokenCounter, tokens_in

PATCH = 32  # pixels: most models cut a picture into squares of this side
SMALL_MODEL = (1_536, 2.46)  # patches at most, and tokens for each: the nano models
HIGH_DETAIL = (2_500, 1.2)  # gpt-5.4 and later, at `high`
FULL_DETAIL = (30_000, 1.2)  # gpt-5.6 and later keep the size when told `auto`, and refuse more patches than this
LOW_DETAIL = ceil((512 // PATCH) ** 2 * SMALL_MODEL[1])
TILE, TILE_BASE, TILE_TOKENS = 512, 85, 170  # gpt-4o and its kin: dearer than patches for small pictures
PAGE = 6_000  # a page of a PDF is sent as its text (2,000 is a dense page) and as a picture
UNSEEN_FILE = 32_000  # a document by URL
OBJECT_STREAM_LIMIT = 1 << 18  # bytes: how far one compressed stream of a PDF is unpacked
OBJECT_STREAMS = 256  # more are not looked into: a hostile file must not cost seconds
JPEG_SEGMENTS = 512  # the same

_TEXT_TYPES = frozenset({
    "application/javascript", "application/json", "application/toml", "application/xml", "application/yaml",
})  # fmt: skip
_PAGE_MARK = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_OBJECT_STREAM = re.compile(rb"/ObjStm[^>]{0,400}>>\s*stream\r?\n")
_JPEG_MARK = 0xFF
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WEBP_HEADER = 30


def image_tokens(image: Image) -> int:
    """Return the most tokens a picture may cost.

    The size comes from the header of `data`; a picture by URL, or of a format that is not known, counts as the largest
    that its `detail` allows: 36,000 tokens for `auto`, 3,779 for `high`, 630 for `low`.
    """
    if image.detail == "low":
        return LOW_DETAIL
    patch_rules = (SMALL_MODEL, FULL_DETAIL if image.detail == "auto" else HIGH_DETAIL)
    size = None if image.data is None else dimensions(image.data)
    if size is None:
        return max(ceil(most * each) for most, each in patch_rules)
    patches = ceil(size[0] / PATCH) * ceil(size[1] / PATCH)
    return max(_tile_tokens(*size), *(ceil(min(patches, most) * each) for most, each in patch_rules))


def file_tokens(file: File, counter: TokenCounter) -> int:
    """Return what a document costs: exact for text, else by its size.

    A PDF counts 6,000 tokens a page; one whose pages cannot be told, and any other format, one token a byte (formats
    are compressed, but text takes about four bytes a token). A document by URL counts 32,000 tokens: an assumption,
    since nothing about it is known.
    """
    if file.data is None:
        return UNSEEN_FILE
    kind = (file.media_type or "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        return tokens_in(file.data.decode("utf-8", "replace"), counter)
    if kind == "application/pdf" or file.data.startswith(b"%PDF-"):
        return _pdf_pages(file.data) * PAGE or len(file.data)
    return len(file.data)


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Read width and height in pixels from the header of a PNG, GIF, WebP or JPEG; None when that is not possible."""
    size = None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        size = _size(data[16:24], width=4)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        size = _size(data[6:10], width=2, order="little")
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        size = _webp(data)
    elif data.startswith(b"\xff\xd8"):
        size = _jpeg(data)
    return size if size is not None and min(size) > 0 else None


def _size(field: bytes, *, width: int, order: str = "big") -> tuple[int, int] | None:
    """Read two numbers of `width` bytes each; None when some are missing."""
    if len(field) < 2 * width:
        return None
    first, second = field[:width], field[width : 2 * width]
    if order == "little":
        first, second = first[::-1], second[::-1]
    return int.from_bytes(first, "big"), int.from_bytes(second, "big")


def _webp(data: bytes) -> tuple[int, int] | None:
    kind, size = data[12:16], None
    if len(data) < _WEBP_HEADER:
        return None
    if kind == b"VP8 ":
        size = _size(data[26:30], width=2, order="little")
        return size and (size[0] & 0x3FFF, size[1] & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        size = _size(data[24:30], width=3, order="little")
        return size and (size[0] + 1, size[1] + 1)
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the frame header, which holds height and width."""
    at = 2
    for _ in range(JPEG_SEGMENTS):
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            return None
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            size = _size(data[at + 5 : at + 9], width=2)
            return size and (size[1], size[0])
        at += 1 if marker == _JPEG_MARK else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _tile_tokens(width: int, height: int) -> int:
    """Fit into 2,048 x 2,048, then the shorter side into 768, and count squares of 512."""
    scale = min(1.0, 2_048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return TILE_BASE + TILE_TOKENS * ceil(width * scale / TILE) * ceil(height * scale / TILE)


def _pdf_pages(data: bytes) -> int:
    """Count the pages of a PDF, those in compressed object streams too; 0 when they cannot be told."""
    pages = len(_PAGE_MARK.findall(data))
    for number, found in enumerate(_OBJECT_STREAM.finditer(data)):
        if number == OBJECT_STREAMS:
            return 0
        try:
            packed = data[found.end() : found.end() + OBJECT_STREAM_LIMIT]
            unpacked = zlib.decompressobj().decompress(packed, OBJECT_STREAM_LIMIT)
        except zlib.error:
            return 0
        if len(unpacked) == OBJECT_STREAM_LIMIT:
            return 0
        pages += len(_PAGE_MARK.findall(unpacked))
    return pages
