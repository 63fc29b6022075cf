"""Counts from the first moment on, and exactly as soon as the vocabulary is there."""

import logging
import threading
from importlib import import_module

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.token_counter import TokenCounter

_log = logging.getLogger(__name__)


class BackgroundCounter:
    """Answers with `until`, an upper bound, until the vocabulary is loaded, and exactly afterwards.

    Loading takes 0.25 to 0.5 seconds of CPU, which the first count starts in a thread of its own. About half of it, the
    building of the tokenizer in native code, keeps all other Python threads waiting; a server that cannot have that
    in its first request calls `load()` when it starts. Without a vocabulary the bound stays, and a warning is
    logged once.

    The encoding is `encoding` or the one of `model`.

    `name` and `count` change when the vocabulary is there, and that may happen between the two. Take `current` once
    to have a pair that belongs together. Nothing breaks if you do not: the exact count is never above the bound, so
    a sum of both is still a bound.
    """

    def __init__(self, encoding: str | None = None, *, model: str = "", until: TokenCounter) -> None:
        self._encoding = encoding
        self._model = model
        self._until = self._current = until
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> TokenCounter:
        """The counter in force. Starts the loading."""
        if self._thread is None:
            self._start()
        return self._current

    @property
    def name(self) -> str:
        """The name of the counter in force."""
        return self._current.name

    def count(self, text: str) -> int:
        """Return the number of tokens by the counter in force. Starts the loading."""
        return self.current.count(text)

    def load(self, timeout: float | None = None) -> bool:
        """Wait until loading is over, for at most `timeout` seconds; tell whether counts are exact now.

        This blocks: in a coroutine, call it with `anyio.to_thread.run_sync`.
        """
        self._start().join(timeout)
        return self._current is not self._until

    def _start(self) -> threading.Thread:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._load, name="assistant_kit load vocabulary", daemon=True)
                self._thread.start()
            return self._thread

    def _load(self) -> None:
        # By name, because importing tiktoken is a part of the work that is done in the background.
        try:
            exact = import_module("assistant_kit.token_counters.tiktoken")
            self._current = exact.TiktokenCounter(self._encoding or exact.encoding_for(self._model))
        except ConfigurationError as problem:
            _log.warning("tokens are counted by an upper bound, about four times too high for English: %s", problem)
        except Exception:  # noqa: BLE001  (whatever it is, counting goes on)
            # A program that ends meanwhile takes away what an import needs (measured: RuntimeError from atexit).
            if threading.main_thread().is_alive():
                _log.exception("tokens are counted by an upper bound: the vocabulary could not be loaded")
