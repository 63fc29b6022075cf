"""Counts by the tokenizer of a model, from its `tokenizer.json`."""

from functools import lru_cache
from pathlib import Path

from assistant_kit.errors import ConfigurationError, MissingDependency

try:
    from tokenizers import Tokenizer as _Tokenizer
except ImportError as _missing:
    raise MissingDependency("tokenizers", "tokenizers") from _missing

TOO_LONG = 900_000
"""Characters of the longest text that is tokenized; a longer one is bounded by its bytes, as TiktokenCounter does."""

SHORT = 32
REMEMBERED = 4_096
"""Counts of short texts that are remembered."""


class HuggingFaceCounter:
    """Counts the tokens of a model exactly, by the `tokenizer.json` that is published with it.

    `path` names that file, or the folder it is in. Nothing is downloaded. Special tokens in a text count as the text
    they are, and the tokens that the tokenizer puts around every text are left out: what stands around a message is
    counted by its place in the request. A limit on the length that the file may set is lifted. Raises
    ConfigurationError when there is no such file, or it is no tokenizer.
    """

    def __init__(self, path: str | Path, *, name: str = "") -> None:
        file = Path(path)
        file = file / "tokenizer.json" if file.is_dir() else file
        self._tokenizer = _load(file)
        self._name = name or f"huggingface:{file.parent.name}/{file.name}"
        self._count_short = lru_cache(maxsize=REMEMBERED)(self._tokenize)

    @property
    def name(self) -> str:
        """The name that was given, or the file's name and that of its folder."""
        return self._name

    @property
    def current(self) -> "HuggingFaceCounter":
        """This counter: it never changes."""
        return self

    def count(self, text: str) -> int:
        """Return the number of tokens.

        A text of more than 900,000 characters is not tokenized: the number of its bytes is returned. Half a surrogate
        pair, which no UTF-8 can hold, counts as the question mark that is sent in its place.
        """
        size = len(text)
        if size <= SHORT:
            return self._count_short(text)
        if size > TOO_LONG:
            return len(text.encode("utf-8", "surrogatepass"))
        return self._tokenize(text)

    def _tokenize(self, text: str) -> int:
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _load(file: Path) -> _Tokenizer:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the tokenizer {file} cannot be read: {error}: give the path of the model's tokenizer.json"
        ) from error
    try:
        tokenizer = _Tokenizer.from_buffer(content)
    except Exception as error:  # the package raises nothing more particular
        raise ConfigurationError(
            f"{file} is no tokenizer ({error}): replace it by the tokenizer.json that is published with the model"
        ) from error
    if not tokenizer.get_vocab_size():
        raise ConfigurationError(
            f"{file} holds no vocabulary: replace it by the tokenizer.json that is published with the model"
        )
    # Each of these would make texts look shorter than they are.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer
