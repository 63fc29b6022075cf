"""Programs that are started, watched, and ended together."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Self

START_SECONDS = 90.0
STOP_SECONDS = 15.0
_RESTARTS = 5  # in a minute; who ends more often does not get well by being started again
_MINUTE = 60.0
_PAUSE = 0.1


class ChildFailed(Exception):
    """A program did not start, or ends again and again; the text has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is to run. `answers` tells whether it can be used; `stop` is the signal that ends it in good order.

    `environment` is added to that of this process, of which variables that begin as `hidden` are left out. `prefix`
    is a command that runs the other one, as another user.
    """

    name: str
    command: Sequence[str]
    answers: Callable[[], bool]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    hidden: tuple[str, ...] = ()
    prefix: Sequence[str] = ()
    stop: signal.Signals = signal.SIGTERM


class Child:
    """A program that runs, or did."""

    def __init__(self, program: Program) -> None:
        """Start the program; whether it answers is seen by `wait`."""
        self.program = program
        self._started: list[float] = []
        self._is_stopping = False
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The id of the process that was started last."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it does not run any more."""
        return self._process.poll() is not None

    @property
    def status(self) -> str:
        """How it ended, in words."""
        code = self._process.poll()
        if code is None:
            return "running"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def wait(self, seconds: float = START_SECONDS, *, until: Callable[[], bool] = lambda: False) -> None:
        """Return when it answers, or `until` says so. Raises ChildFailed."""
        patience_ends = time.monotonic() + seconds
        while not until() and not self.program.answers():
            if self.has_ended or time.monotonic() > patience_ends:
                happened = self.status if self.has_ended else f"no answer in {seconds:.0f} s"
                raise ChildFailed(f"{self.program.name} did not start ({happened}):\n{self.log_end()}")
            time.sleep(_PAUSE)

    def start_again(self) -> None:
        """Start it again after it has ended. Raises ChildFailed when that is so too often."""
        now = time.monotonic()
        self._started = [at for at in self._started if now - at < _MINUTE]
        if len(self._started) > _RESTARTS:
            raise ChildFailed(f"{self.program.name} ends again and again ({self.status}):\n{self.log_end()}")
        self._process = self._start()

    def signal(self, sent: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if not self.has_ended:
            self._process.send_signal(sent)

    def ask_to_stop(self) -> None:
        """Tell it to end in good order; once, as a second signal would mean haste."""
        if not self._is_stopping:
            self._is_stopping = True
            self.signal(self.program.stop)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End it in good order, or else by force; with everything that it has started."""
        self.ask_to_stop()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError, PermissionError):  # workers that their master has left behind
            os.killpg(self._process.pid, signal.SIGKILL)

    def log_end(self) -> str:
        """Return the end of its log."""
        return self.program.log.read_text(errors="replace")[-2000:].strip()

    def _start(self) -> subprocess.Popen[bytes]:
        program = self.program
        self._started.append(time.monotonic())
        self._is_stopping = False
        kept = {name: value for name, value in os.environ.items() if not name.startswith(program.hidden or ("\0",))}
        with program.log.open("ab") as output:
            return subprocess.Popen(
                [*program.prefix, *_ending_with_us(program.stop), *program.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**kept, **program.environment},
                start_new_session=True,  # Ctrl-C is for the one who started them, who ends them in their order
            )


class Children:
    """Several programs, in groups that were started together. A context manager: the last group is ended first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._groups: list[list[Child]] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them."""
        self.stop()

    def __getitem__(self, name: str) -> Child:
        """Return the one of that name."""
        return next(child for child in self if child.program.name == name)

    def __iter__(self) -> Iterator[Child]:
        """Go through them, in the order in which they were started."""
        return chain.from_iterable(self._groups)

    def start(self, *programs: Program, until: Callable[[], bool] = lambda: False) -> None:
        """Start programs beside each other, and return when all answer, or `until` says so. Raises ChildFailed."""
        self._groups.append([])
        for program in programs:
            self._groups[-1].append(Child(program))
        for child in self._groups[-1]:
            child.wait(until=until)

    def mend(self, tell: Callable[[str], None]) -> None:
        """Start again what has ended. Raises ChildFailed when one ends too often."""
        for child in self:
            if child.has_ended:
                tell(f"{child.program.name} {child.status}: it is started again")
                child.start_again()

    def stop(self) -> None:
        """End all of them, the last group first."""
        while self._groups:
            group = self._groups.pop()
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.stop()


def _ending_with_us(stop: signal.Signals) -> list[str]:
    """The command prefix that makes Linux end a program even when this one is killed; elsewhere none."""
    setpriv = shutil.which("setpriv")
    return [setpriv, f"--pdeathsig={stop.name.removeprefix('SIG')}"] if setpriv else []
