"""Counts by a model's own tokenizer file."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from assistant_kit.context import Context
from assistant_kit.errors import ConfigurationError, MissingDependency
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.token_counters import huggingface
from assistant_kit.token_counters.huggingface import TOO_LONG, HuggingFaceCounter
from assistant_kit.token_counters.upper_bound import UpperBound

TEXTS = ["Rain in Oslo, sun in Rome.", "The weather tool answers in Celsius.", "Where is my order?"] * 5


def make(folder: Path, *, truncated: bool = False) -> Path:
    """Train a small byte-level tokenizer with a special token, as those of open models have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|im_start|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if truncated:
        tokenizer.enable_truncation(4)  # pyright: ignore[reportUnknownMemberType]
        tokenizer.enable_padding(length=50)  # pyright: ignore[reportUnknownMemberType]
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def counter(path: Path) -> HuggingFaceCounter:
    return HuggingFaceCounter(path)


def test_it_counts_what_the_tokenizer_counts(path: Path, counter: HuggingFaceCounter) -> None:
    official = Tokenizer.from_file(str(path))
    for text in ["", "Oslo", *TEXTS, "Zürich 今天 👩‍👩‍👧‍👦", "x" * 1_000]:
        assert counter.count(text) == len(official.encode(text).ids)
    assert counter.count(TEXTS[0]) < len(TEXTS[0]) / 2


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=100))
def test_no_text_makes_it_fail_and_none_has_more_tokens_than_bytes(counter: HuggingFaceCounter, text: str) -> None:
    assert counter.count(text) <= UpperBound().count(text)


def test_a_counter_is_given_to_an_assistant(path: Path) -> None:
    # --8<-- [start:counter]
    counter = HuggingFaceCounter(path)  # such as "models/qwen/tokenizer.json"
    context = Context(token_counter=counter)
    # --8<-- [end:counter]
    assert context.token_counter is counter


def test_a_folder_is_a_place_for_the_file(path: Path, counter: HuggingFaceCounter) -> None:
    in_folder = HuggingFaceCounter(str(path.parent))
    assert in_folder.count(TEXTS[0]) == counter.count(TEXTS[0])
    assert in_folder.name == counter.name == f"huggingface:{path.parent.name}/tokenizer.json"
    assert HuggingFaceCounter(path, name="qwen").name == "qwen"
    by_contract: TokenCounter = in_folder.current
    assert by_contract is in_folder


def test_what_looks_like_a_special_token_is_text(counter: HuggingFaceCounter) -> None:
    assert counter.count("<|im_start|>") > 1


def test_a_limit_on_the_length_is_lifted(tmp_path: Path, counter: HuggingFaceCounter) -> None:
    limited = HuggingFaceCounter(make(tmp_path, truncated=True))
    for text in ("a", TEXTS[0] * 3):
        assert limited.count(text) == counter.count(text)


def test_a_very_long_text_is_bounded_by_its_bytes(counter: HuggingFaceCounter) -> None:
    assert counter.count("é" * (TOO_LONG + 1)) == 2 * (TOO_LONG + 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b"{" * 1_000,
        b'{"model":{"type":"BPE","vocab":{},"merges":[]}}',
        b'{"model":{"type":"X"}}',
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "tokenizer.json"
    broken.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        HuggingFaceCounter(broken)
    assert str(broken) in str(caught.value)


def test_a_file_that_is_cut_off_is_one_clear_error(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 40):
        cut.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError):
            HuggingFaceCounter(cut)


def test_merges_that_the_vocabulary_does_not_hold_are_one_clear_error(path: Path, tmp_path: Path) -> None:
    shape = json.loads(path.read_bytes())
    shape["model"]["vocab"].popitem()
    wrong = tmp_path / "tokenizer.json"
    wrong.write_text(json.dumps(shape))
    with pytest.raises(ConfigurationError):
        HuggingFaceCounter(wrong)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    for missing in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            HuggingFaceCounter(missing)
        assert isinstance(caught.value.__cause__, OSError)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, huggingface.__name__)
    with pytest.raises(MissingDependency) as caught:
        importlib.import_module(huggingface.__name__)
    assert (caught.value.package, caught.value.extra) == ("tokenizers", "tokenizers")
