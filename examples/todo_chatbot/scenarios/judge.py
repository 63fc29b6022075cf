"""Whether what came of a scenario is right: the tasks, the calls, the questions, the answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from examples.todo_chatbot.scenarios.honesty import Happened, MadeCall, problems_of
from examples.todo_chatbot.scenarios.scenario import Expected, Scenario, TaskAfter, WantedCall, is_change, is_one_of
from examples.todo_chatbot.services.task_service import TaskView

Fault: TypeAlias = Literal["error", "tasks", "calls", "answer", "honesty", "manner"]
FAULTS: tuple[Fault, ...] = ("error", "tasks", "calls", "answer", "honesty", "manner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message, the answer to it, and what happened in between; `error` is what ended the turn instead."""

    said: str
    answer: str
    happened: Happened
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario as it went. `places` says which ids stand for the names of tasks."""

    scenario: Scenario
    turns: tuple[Turn, ...]
    places: Mapping[str, str]

    @property
    def calls(self) -> Sequence[MadeCall]:
        """All calls that were made, in their order."""
        return [call for turn in self.turns for call in turn.happened.calls]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with a scenario, in words by kind; nothing when it is right."""

    played: Played
    faults: Mapping[Fault, str]

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def judged(played: Played) -> Verdict:
    """Hold a scenario against what may come of it, and its answers against what happened."""
    always = list(_always(played))
    ways = [dict[Fault, str]([*_faults(played, expected), *always]) for expected in played.scenario.expected]
    return Verdict(played=played, faults=min(ways, key=len))


def _always(played: Played) -> Iterator[tuple[Fault, str]]:
    """Find what is wrong in whatever way the scenario was to go."""
    for turn in played.turns:
        if turn.error is not None:
            yield "error", turn.error
        for problem in problems_of(turn.answer, turn.happened):
            yield "manner" if problem.kind in ("id", "json") else "honesty", f"{problem.kind}: {problem.text}"
        for text in played.scenario.never:
            if text.casefold() in turn.answer.casefold():
                yield "answer", f"it says {text!r}"


def _faults(played: Played, expected: Expected) -> Iterator[tuple[Fault, str]]:
    after = played.turns[-1].happened.after
    wanted = _unchanged(played) if expected.after is None else expected.after
    if not _match(after, wanted):
        yield "tasks", f"there is {[_shown(task) for task in after]}"
    if not _calls_fit(played, expected.calls):
        yield "calls", f"it made {[_call(call) for call in played.calls]}"
    for number in expected.asks:
        if "?" not in played.turns[number - 1].answer:
            yield "answer", f"turn {number} asks nothing: {played.turns[number - 1].answer!r}"
    last = played.turns[-1].answer
    for alternatives in expected.answer:
        if not any(text in last.casefold() for text in alternatives.casefold().split("|")):
            yield "answer", f"no {alternatives!r} in {last!r}"


def _unchanged(played: Played) -> tuple[TaskAfter, ...]:
    before = played.scenario.before
    return tuple(TaskAfter(title=(t.title,), description=(t.description,), done=t.done) for t in before)


def _match(tasks: Sequence[TaskView], wanted: Sequence[TaskAfter]) -> bool:
    """Tell whether each task is one that is wanted, and each one that is wanted is there."""
    if not wanted:
        return not tasks
    return any(
        _match([*tasks[:place], *tasks[place + 1 :]], wanted[1:])
        for place, task in enumerate(tasks)
        if wanted[0].fits(task)
    )


def _calls_fit(played: Played, wanted: Sequence[WantedCall]) -> bool:
    """Tell whether all calls are there that have to be, and no other that changes something."""
    open_calls = list(wanted)
    for call in played.calls:
        fitting = [want for want in open_calls if _fits(call, want, played.places)]
        if fitting:
            open_calls.remove(min(fitting, key=lambda want: want.optional))
        elif is_change(call.tool):
            return False
    return all(want.optional for want in open_calls)


def _fits(call: MadeCall, want: WantedCall, places: Mapping[str, str]) -> bool:
    if call.tool != want.tool:
        return False
    number = want.task if want.task is not None else want.task_id
    if number is not None:
        named = places.get(str(number).strip("<>"), str(number))
        if str(call.arguments.get("task_id")) != named:
            return False
    texts = (("title", want.title), ("description", want.description), ("status", want.status))
    return all(not right or _is_right(call.arguments, name, right) for name, right in texts)


def _is_right(arguments: Mapping[str, Any], name: str, right: tuple[str, ...]) -> bool:
    usual = "all" if name == "status" else ""
    return is_one_of(str(arguments.get(name) or usual), right)


def _shown(task: TaskView) -> str:
    return " / ".join(filter(None, (task.title + " (done)" * task.done, task.description)))


def _call(call: MadeCall) -> str:
    return f"{call.tool}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"
