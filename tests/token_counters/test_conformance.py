"""Our token counters pass the suite of token counters."""

from pathlib import Path

import pytest
import tiktoken
from tokenizers import Tokenizer

from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.testing.conformance.token_counter import TokenCounterConformance
from assistant_kit.token_counters.background import BackgroundCounter
from assistant_kit.token_counters.huggingface import HuggingFaceCounter
from assistant_kit.token_counters.tiktoken import EncodingName, TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.token_counters.test_huggingface import make


# --8<-- [start:suite]
class TestUpperBound(TokenCounterConformance):
    def make_counter(self, folder: Path) -> TokenCounter:  # noqa: ARG002  (it reads no file)
        return UpperBound()


# --8<-- [end:suite]


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"], scope="class")
class TestTiktoken(TokenCounterConformance):
    @pytest.fixture(autouse=True)
    def _encoding(self, encoding: EncodingName) -> None:
        self.encoding: EncodingName = encoding

    def make_counter(self, folder: Path) -> TokenCounter:  # noqa: ARG002  (its vocabulary is installed)
        return TiktokenCounter(self.encoding)

    def true_count(self, text: str) -> int | None:
        # The counter loads the vocabulary from the package; tiktoken would download it.
        official: tiktoken.Encoding = TiktokenCounter(self.encoding)._encoding  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return len(official.encode(text, disallowed_special=()))


class TestHuggingFace(TokenCounterConformance):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.file = make(tmp_path)

    def make_counter(self, folder: Path) -> TokenCounter:  # noqa: ARG002  (see above)
        return HuggingFaceCounter(self.file)

    def true_count(self, text: str) -> int | None:
        tokenizer = Tokenizer.from_file(str(self.file))
        tokenizer.encode_special_tokens = True
        return len(tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False))


class TestBackground(TokenCounterConformance):
    def make_counter(self, folder: Path) -> TokenCounter:  # noqa: ARG002  (its vocabulary is installed)
        counter = BackgroundCounter("o200k_base", until=UpperBound())
        assert counter.load(timeout=30)
        return counter
