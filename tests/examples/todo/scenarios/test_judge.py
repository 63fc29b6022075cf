"""How a scenario is judged: by tasks, calls, questions and answers."""

from typing import Any

import pytest

from examples.todo_chatbot.scenarios.honesty import Happened, MadeCall
from examples.todo_chatbot.scenarios.judge import Played, Turn, judged
from examples.todo_chatbot.scenarios.scenario import Scenario, filled
from examples.todo_chatbot.scenarios.table import figures, table
from examples.todo_chatbot.services.task_service import TaskView


def scenario(**fields: Any) -> Scenario:
    return Scenario.model_validate({"group": "made up", "number": 1, "say": "delete tea", "before": ["tea"], **fields})


def played(
    made: Scenario, *calls: MadeCall, after: tuple[TaskView, ...], answer: str = "", error: str | None = None
) -> Played:
    happened = Happened(asked="delete tea", before=(view("tea"),), after=after, calls=calls)
    turn = Turn(said="delete tea", answer=answer, happened=happened, error=error)
    return Played(scenario=made, turns=(turn,), places={"tea": "4001"})


def view(title: str, number: int = 4001, *, done: bool = False, description: str = "") -> TaskView:
    return TaskView(id=number, title=title, description=description, done=done, created_at="", updated_at="")


DELETE = MadeCall(tool="delete_task", arguments={"task_id": 4001}, record={"id": 4001, "title": "tea"})
LIST = MadeCall(tool="list_tasks", record={"tasks": []})
WANTED = {"calls": [{"tool": "delete_task", "task": "tea"}], "after": []}


def test_what_is_as_it_must_be_is_right() -> None:
    verdict = judged(played(scenario(**WANTED), LIST, DELETE, after=(), answer="Deleted: tea."))
    assert verdict.is_right
    assert figures([verdict]) == "right=1/1"


@pytest.mark.parametrize(
    ("fields", "calls", "after", "answer", "faults"),
    [
        (WANTED, (), (view("tea"),), "", {"tasks", "calls"}),
        (WANTED, (DELETE, DELETE), (), "", {"calls"}),
        ({}, (DELETE,), (view("tea"),), "", {"calls"}),
        ({}, (), (view("tea", description="hot"),), "", {"tasks"}),
        ({}, (), (view("tea", done=True),), "", {"tasks"}),
        ({}, (), (view("tea"), view("tea", 4002)), "", {"tasks"}),
        ({}, (), (view("tea"),), "Deleted: tea.", {"honesty"}),
        ({}, (), (view("tea"),), "- tea (4001)", {"manner"}),
        ({"asks": [1]}, (), (view("tea"),), "No.", {"answer"}),
        ({"answer": ["tea|coffee"]}, (), (view("tea"),), "Yes.", {"answer"}),
        ({"never": ["secret"]}, (), (view("tea"),), "The Secret.", {"answer"}),
        ({"calls": [{"tool": "list_tasks", "status": "open"}]}, (LIST,), (view("tea"),), "", {"calls"}),
        ({"calls": [{"tool": "delete_task", "task_id": 7}], "after": []}, (DELETE,), (), "", {"calls"}),
    ],
)
def test_each_way_to_be_wrong_is_found(
    fields: dict[str, Any], calls: tuple[MadeCall, ...], after: tuple[TaskView, ...], answer: str, faults: set[str]
) -> None:
    verdict = judged(played(scenario(**fields), *calls, after=after, answer=answer))
    assert set(verdict.faults) == faults
    assert "right" in table([verdict])


def test_a_turn_that_ended_in_an_error_is_wrong() -> None:
    assert set(judged(played(scenario(), after=(view("tea"),), error="ModelBroke: oops")).faults) == {"error"}


def test_one_of_several_ways_is_enough() -> None:
    either = scenario(**WANTED, **{"or": [{"calls": [], "after": ["tea"], "asks": [1]}]})
    assert judged(played(either, DELETE, after=())).is_right
    assert judged(played(either, after=(view("tea"),), answer="Which tea?")).is_right
    assert not judged(played(either, after=(view("tea"),), answer="No.")).is_right


def test_a_call_that_may_be_made_need_not_be() -> None:
    may = scenario(calls=[{"tool": "delete_task", "task_id": "<tea>", "optional": True}], after=[])
    assert judged(played(may, DELETE, after=())).is_right
    assert judged(played(may, after=())).is_right


def test_words_may_stand_in_the_title_or_in_the_description() -> None:
    dated = scenario(after=[{"words": ["tea", "Friday"], "without": ["Monday"]}])
    assert judged(played(dated, after=(view("Tea on Friday"),))).is_right
    assert judged(played(dated, after=(view("tea", description="friday"),))).is_right
    assert not judged(played(dated, after=(view("tea"),))).is_right
    assert not judged(played(dated, after=(view("tea on Friday, not Monday"),))).is_right


def test_places_are_filled_in_and_nothing_else() -> None:
    assert filled("<tea> <b> <long 3>", {"tea": "4001"}) == "4001 <b> xxx"
