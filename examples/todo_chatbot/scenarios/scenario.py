"""What a scenario is, and how it is read from the files in `data`; docs/todo-scenarios.md explains the fields."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from examples.todo_chatbot.services.task_service import TaskView

DATA = Path(__file__).parent / "data"
_DONE = " (done)"
_LONG = re.compile(r"<long (\d+)>")
_CHANGING = ("add_task", "complete_task", "delete_task", "update_task")


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _task(value: Any) -> Any:
    """Read `buy milk (done)` as a task."""
    if not isinstance(value, str):
        return value
    return {"title": value.removesuffix(_DONE), "done": value.endswith(_DONE)}


Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_several)]
Tool: TypeAlias = Literal["add_task", "list_tasks", "complete_task", "delete_task", "update_task"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskBefore(_Part):
    """A task that is there before anything is said."""

    title: str
    description: str = ""
    done: bool = False


class TaskAfter(_Part):
    """A task that has to be there afterwards.

    `title` and `description` name the texts that are right, in upper or lower case. Where it does not matter what is
    title and what description, `words` have to stand in them and those of `without` must not.
    """

    title: Texts = ()
    description: Texts = ("",)
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    done: bool = False

    def fits(self, task: TaskView) -> bool:
        """Tell whether a task is as it has to be."""
        text = f"{task.title} {task.description}".casefold()
        if task.done != self.done or any(word.casefold() in text for word in self.without):
            return False
        if self.words:
            return all(word.casefold() in text for word in self.words)
        return is_one_of(task.title, self.title) and is_one_of(task.description, self.description)


class WantedCall(_Part):
    """A call that has to be made, or with `optional` one that may be.

    `task` is the title that the task has before anything is said, or `task_id` what stands for the number.
    """

    tool: Tool
    task: str | None = None
    task_id: int | str | None = None
    title: Texts = ()
    description: Texts = ()
    status: Texts = ()
    optional: bool = False


class Expected(_Part):
    """What has to come of a scenario. Without `after` the tasks stay as they were.

    `asks` are the turns, from 1 on, whose answer asks something. Each text of `answer` has to stand in the last
    answer; bars part alternatives.
    """

    calls: tuple[WantedCall, ...] = ()
    after: tuple[Annotated[TaskAfter, BeforeValidator(_task)], ...] | None = None
    asks: tuple[int, ...] = ()
    answer: tuple[str, ...] = ()


class Scenario(_Part):
    """Messages to the assistant, the tasks before, and what is right: one of `expected`.

    No text of `never` may stand in any answer.
    """

    group: str
    number: int
    say: Texts
    before: tuple[Annotated[TaskBefore, BeforeValidator(_task)], ...] = ()
    never: tuple[str, ...] = ()
    expected: tuple[Expected, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """The name in tables: group and place in its file."""
        return f"{self.group} {self.number}"

    @model_validator(mode="before")
    @classmethod
    def _with_alternatives(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Put what is expected, and each of `or` with what it says differently, into one list."""
        usual = {name: value for name, value in fields.items() if name in Expected.model_fields}
        others = [{**usual, **other} for other in fields.get("or", ())]
        kept = {name: value for name, value in fields.items() if name not in usual and name != "or"}
        return {**kept, "expected": [usual, *others]}


def read_scenarios(folder: Path = DATA) -> tuple[Scenario, ...]:
    """Read all files of a folder. Raises ValueError when one does not fit."""
    return tuple(
        Scenario.model_validate({"group": path.stem.replace("_", " "), "number": number, **fields})
        for path in sorted(folder.glob("*.toml"))
        for number, fields in enumerate(_tables(path), 1)
    )


def filled(text: str, places: Mapping[str, str]) -> str:
    """Put what is known only when the scenario is played into a text: `<buy milk>` is the id of that task."""
    for name, value in places.items():
        text = text.replace(f"<{name}>", value)
    return _LONG.sub(lambda long: "x" * int(long[1]), text)


def is_one_of(text: str, right: tuple[str, ...]) -> bool:
    """Tell whether a text is right; case, outer spaces and a full stop at the end do not count."""
    return _plain(text) in {_plain(one) for one in right}


def is_change(tool: str) -> bool:
    """Tell whether a tool changes tasks."""
    return tool in _CHANGING


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".! ")


def _tables(path: Path) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", tomllib.loads(path.read_text(encoding="utf-8"))["scenario"])
