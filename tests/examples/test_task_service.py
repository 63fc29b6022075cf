"""The task service keeps each user's tasks, and another user's task is no task at all."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from examples.todo_chatbot.services.task_service import (
    DESCRIPTION_LIMIT,
    TITLE_LIMIT,
    InvalidTask,
    TaskNotFound,
    TaskService,
    TasksUnavailable,
)


@pytest.fixture
def service(tmp_path: Path) -> TaskService:
    return TaskService(tmp_path / "tasks.db")


def test_a_task_is_added_changed_and_completed(service: TaskService) -> None:
    milk = service.add("ada", "  buy\n milk ", " two litres ")
    assert (milk.title, milk.description, milk.done) == ("buy milk", "two litres", False)
    assert datetime.fromisoformat(milk.created_at).tzinfo is not None
    assert service.update("ada", milk.id, title="oat milk").description == "two litres"
    assert service.update("ada", milk.id, description="").title == "oat milk"
    assert service.complete("ada", milk.id).done
    assert service.complete("ada", milk.id).done
    assert [task.title for task in service.list("ada")] == ["oat milk"]


def test_lists_can_be_of_open_or_of_done_tasks(service: TaskService) -> None:
    first, second = service.add("ada", "a"), service.add("ada", "b")
    service.complete("ada", first.id)
    assert [task.id for task in service.list("ada", "open")] == [second.id]
    assert [task.id for task in service.list("ada", "done")] == [first.id]
    assert [task.id for task in service.list("ada", "all")] == [first.id, second.id]


def test_a_deleted_task_is_gone_and_its_number_is_not_given_again(service: TaskService) -> None:
    first = service.add("ada", "a")
    assert service.delete("ada", first.id) == first
    with pytest.raises(TaskNotFound):
        service.delete("ada", first.id)
    assert service.add("ada", "b").id > first.id


def test_the_task_of_another_user_is_no_task_at_all(service: TaskService) -> None:
    mine = service.add("ada", "secret")
    for task_id in (mine.id, mine.id + 1, 0, -1, 2**70):
        for change in (service.complete, service.delete, partial(service.update, title="mine now")):
            with pytest.raises(TaskNotFound) as caught:
                change("eve", task_id)
            assert caught.value.task_id == task_id
    assert service.list("eve") == ()
    assert service.list("ada") == (mine,)


def test_a_repeated_request_adds_nothing(service: TaskService) -> None:
    first = service.add("ada", "a", request_key="k1")
    assert service.add("ada", "a", request_key="k1") == first
    assert service.add("eve", "a", request_key="k1").id != first.id
    assert service.add("ada", "a", request_key="k2").id != first.id
    assert len(service.list("ada")) == 2


@pytest.mark.parametrize("title", ["", " \n", "x" * (TITLE_LIMIT + 1), "a\x1b[2J", "\ud800"])
def test_a_title_that_cannot_be_is_refused(service: TaskService, title: str) -> None:
    task = service.add("ada", "a")
    with pytest.raises(InvalidTask):
        service.add("ada", title)
    with pytest.raises(InvalidTask):
        service.update("ada", task.id, title=title)
    assert service.list("ada") == (task,)


def test_a_change_of_nothing_and_an_overlong_description_are_refused(service: TaskService) -> None:
    task = service.add("ada", "a")
    with pytest.raises(InvalidTask):
        service.update("ada", task.id)
    with pytest.raises(InvalidTask):
        service.update("ada", task.id, description="x" * (DESCRIPTION_LIMIT + 1))


def test_tasks_are_there_for_the_next_process(tmp_path: Path) -> None:
    task = TaskService(tmp_path / "tasks.db").add("ada", "a")
    assert TaskService(tmp_path / "tasks.db").list("ada") == (task,)


def test_many_threads_lose_nothing(service: TaskService) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = [task.id for task in threads.map(service.add, ["ada"] * 40, [f"task {number}" for number in range(40)])]
    assert sorted(added) == [task.id for task in service.list("ada")]


def test_a_database_that_cannot_be_used_is_an_error_that_leaves_it_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "not.db").write_text("this is no database, " * 50)
    for path in (tmp_path / "not.db", tmp_path, tmp_path / "missing" / "tasks.db"):
        with pytest.raises(TasksUnavailable) as caught:
            TaskService(path)
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert (tmp_path / "not.db").read_text() == "this is no database, " * 50
