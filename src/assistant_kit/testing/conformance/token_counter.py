"""The suite that every token counter passes."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assistant_kit.protocols.token_counter import TokenCounter

__all__ = ["TokenCounterConformance"]

ANY_TEXT = (
    "x",
    " ",
    "\n",
    "\0",
    "\ud800",
    "half \ud800 a pair",
    "Rain in Oslo, sun in Rome.",
    "Ünï­cödé, naïve, ﬀ",
    "漢字とひらがな",
    "我们今天去北京大学看书",
    "👩‍👩‍👧‍👦 and 🇳🇴",
    "\u202eright to left",
    "<|endoftext|> <|im_start|>user<|im_sep|>",
    '{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
    "0123456789" * 30,
    "=" * 500,
    "aaaa " * 300,
)
"""Texts that are counted."""

LONG_TEXTS = (" " * 1_200_000, "x" * 1_200_000, "word " * 240_000, "😀" * 300_000)
"""Texts on which tokenizers have failed, or taken very long; each has more than a million characters or bytes."""


class TokenCounterConformance(ABC):
    """What `protocols/token_counter.py` promises, as tests. Derive a class from it in a test file of yours.

        class TestMyCounter(TokenCounterConformance):
            def make_counter(self, folder: Path) -> TokenCounter:
                return MyCounter()

            def true_count(self, text: str) -> int | None:
                return len(my_tokenizer.encode(text))

    `folder` is the test's own, and empty. `true_count` is what the model's own tokenizer says, if it can be had: the
    suite cannot tell otherwise that a count is never too low.
    """

    @abstractmethod
    def make_counter(self, folder: Path) -> TokenCounter:
        """Return a counter that has counted nothing yet."""

    def true_count(self, text: str) -> int | None:  # noqa: ARG002  (it is the hook's)
        """Return how many tokens the model's tokenizer makes of a text; None where that is not known."""
        return None

    @pytest.fixture
    def counter(self, tmp_path: Path) -> TokenCounter:
        """Return the counter under test."""
        return self.make_counter(tmp_path)

    def test_every_text_has_a_whole_number_of_tokens(self, counter: TokenCounter) -> None:
        for text in ANY_TEXT:
            tokens = counter.count(text)
            assert type(tokens) is int, text
            assert tokens > 0, text
        assert counter.count("") == 0

    def test_no_count_is_too_low(self, counter: TokenCounter) -> None:
        for text in ANY_TEXT:
            assert counter.count(text) >= (self.true_count(text) or 0), text

    def test_the_same_text_has_the_same_count(self, counter: TokenCounter) -> None:
        first = [counter.count(text) for text in ANY_TEXT]

        assert [counter.count(text) for text in ANY_TEXT] == first

    def test_a_text_that_is_repeated_counts_for_more(self, counter: TokenCounter) -> None:
        for text in ("Rain in Oslo. ", "漢字とひらがな。", "😀 ", "x1 "):
            once, often = counter.count(text), counter.count(text * 100)
            assert often >= 50 * max(1, once // 2), text

    def test_very_long_texts_are_counted(self, counter: TokenCounter) -> None:
        for text in LONG_TEXTS:
            assert counter.count(text) >= 100

    def test_the_name_is_one_that_can_be_kept(self, counter: TokenCounter) -> None:
        assert 0 < len(counter.name) <= 255
        assert counter.name.isprintable()
        assert counter.name == counter.name

    def test_threads_count_at_once(self, counter: TokenCounter) -> None:
        expected = [counter.count(text) for text in ANY_TEXT]

        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(counter.count, ANY_TEXT * 8))

        assert found == expected * 8
