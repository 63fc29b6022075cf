"""The task service keeps each user's tasks, and another user's task is no task at all."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlmodel import col, update

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import TaskRequest
from examples.todo_chatbot.models.columns import now
from examples.todo_chatbot.services.errors import Conflict, Invalid, NotFound
from examples.todo_chatbot.services.task_service import (
    DESCRIPTION_LIMIT,
    KEPT,
    KEY_LIMIT,
    TITLE_LIMIT,
    TaskService,
    TaskView,
)

NO_TASKS = (0, -1, 2**31 - 1, 2**31, 2**70)


@pytest.fixture
def tasks(database: Database) -> TaskService:
    return TaskService(database)


def test_a_task_is_added_changed_and_completed(tasks: TaskService, ada: UUID) -> None:
    milk = tasks.add(ada, "  buy\n milk ", " two\r\nlitres ")
    assert (milk.title, milk.description, milk.done) == ("buy milk", "two\nlitres", False)
    assert datetime.fromisoformat(milk.created_at).tzinfo == UTC
    assert tasks.update(ada, milk.id, title="oat milk").description == "two\nlitres"
    assert tasks.update(ada, milk.id, description="").title == "oat milk"
    assert tasks.complete(ada, milk.id).done
    assert tasks.complete(ada, milk.id).done
    assert tasks.get(ada, milk.id).done
    assert not tasks.complete(ada, milk.id, done=False).done
    assert tasks.update(ada, milk.id, done=True).done
    assert [task.title for task in tasks.list(ada)] == ["oat milk"]


def test_lists_can_be_of_open_or_of_done_tasks(tasks: TaskService, ada: UUID) -> None:
    first, second = tasks.add(ada, "a"), tasks.add(ada, "b")
    tasks.complete(ada, first.id)
    assert [task.id for task in tasks.list(ada, "open")] == [second.id]
    assert [task.id for task in tasks.list(ada, "done")] == [first.id]
    assert [task.id for task in tasks.list(ada, "all")] == [first.id, second.id]


def test_a_deleted_task_is_gone_and_its_number_is_not_given_again(tasks: TaskService, ada: UUID) -> None:
    first = tasks.add(ada, "a")
    assert tasks.delete(ada, first.id) == first
    for look in (tasks.get, tasks.delete):
        with pytest.raises(NotFound):
            look(ada, first.id)
    assert tasks.add(ada, "b").id > first.id


def test_the_task_of_another_user_is_no_task_at_all(tasks: TaskService, ada: UUID, eve: UUID) -> None:
    hers = tasks.add(ada, "secret")
    for change in (tasks.get, tasks.complete, tasks.delete, partial(tasks.update, title="mine now")):
        for task_id in (hers.id, *NO_TASKS):
            with pytest.raises(NotFound) as caught:
                change(eve, task_id)
            assert caught.value.args == (f"there is no task {task_id}",)
    assert tasks.list(eve) == ()
    assert tasks.list(ada) == (hers,)


@pytest.mark.parametrize("title", ["", " \n", "x" * (TITLE_LIMIT + 1), "a\x1b[2J", "\ud800", "a\0b", "\u202eabc"])
def test_a_title_that_cannot_be_is_refused(tasks: TaskService, ada: UUID, title: str) -> None:
    task = tasks.add(ada, "a")
    with pytest.raises(Invalid):
        tasks.add(ada, title)
    with pytest.raises(Invalid):
        tasks.update(ada, task.id, title=title)
    assert tasks.list(ada) == (task,)


def test_titles_are_in_any_language_and_with_any_sign(tasks: TaskService, ada: UUID) -> None:
    titles = [
        "買牛乳",
        "اشتر الحليب",
        "می‌خواهم",
        "👨‍👩‍👧 dinner",
        "Zoë “list”",
        "x" * TITLE_LIMIT,
        "'; DROP TABLE task; --",
    ]
    for title in titles:
        tasks.add(ada, title)
    assert [task.title for task in tasks.list(ada)] == titles


def test_a_change_of_nothing_and_an_overlong_description_are_refused(tasks: TaskService, ada: UUID) -> None:
    task = tasks.add(ada, "a")
    with pytest.raises(Invalid):
        tasks.update(ada, task.id)
    with pytest.raises(Invalid):
        tasks.update(ada, task.id, description="x" * (DESCRIPTION_LIMIT + 1))
    assert tasks.get(ada, task.id) == task


def test_nobody_adds_a_task_for_a_user_who_is_gone(tasks: TaskService) -> None:
    for key in (None, "k"):
        with pytest.raises(NotFound):
            tasks.add(uuid4(), "a", request_key=key)


def test_a_repeated_request_changes_nothing_and_gets_the_first_answer(tasks: TaskService, ada: UUID) -> None:
    first = tasks.add(ada, "a", request_key="add")
    assert tasks.add(ada, "a", request_key="add") == first
    changed = tasks.update(ada, first.id, title="b", request_key="update")
    done = tasks.complete(ada, first.id, request_key="complete")
    assert tasks.update(ada, first.id, title="b", request_key="update") == changed
    assert not changed.done
    gone = tasks.delete(ada, first.id, request_key="delete")
    assert tasks.delete(ada, first.id, request_key="delete") == gone
    assert tasks.complete(ada, first.id, request_key="complete") == done
    assert tasks.add(ada, "a", request_key="add") == first
    assert tasks.list(ada) == ()


def test_a_key_belongs_to_one_change_of_one_user(tasks: TaskService, ada: UUID, eve: UUID) -> None:
    first = tasks.add(ada, "a", request_key="k")
    assert tasks.add(eve, "a", request_key="k").id != first.id
    assert tasks.add(ada, "a", request_key="k2").id != first.id
    others: list[Callable[[], TaskView]] = [
        partial(tasks.add, ada, "b", request_key="k"),
        partial(tasks.add, ada, "a", "more", request_key="k"),
        partial(tasks.complete, ada, first.id, request_key="k"),
        partial(tasks.update, ada, first.id, title="a", request_key="k"),
        partial(tasks.delete, ada, first.id, request_key="k"),
    ]
    for other in others:
        with pytest.raises(Conflict):
            other()
    assert [(task.title, task.done) for task in tasks.list(ada)] == [("a", False), ("a", False)]


@pytest.mark.parametrize("key", ["k" * (KEY_LIMIT + 1), "a\0", "\ud800"])
def test_a_key_that_cannot_be_kept_is_refused(tasks: TaskService, ada: UUID, key: str) -> None:
    with pytest.raises(Invalid):
        tasks.add(ada, "a", request_key=key)
    assert tasks.list(ada) == ()


def test_a_change_that_failed_leaves_its_key_free(tasks: TaskService, ada: UUID) -> None:
    task = tasks.add(ada, "a")
    with pytest.raises(NotFound):
        tasks.complete(ada, task.id + 1000, request_key="k")
    assert tasks.complete(ada, task.id, request_key="k").done


def test_a_key_is_forgotten_when_nobody_repeats_it_any_more(database: Database, tasks: TaskService, ada: UUID) -> None:
    first = tasks.add(ada, "a", request_key="k")
    with database.writing() as session:
        past = update(TaskRequest).where(col(TaskRequest.user_id) == ada).values(created_at=now() - KEPT * 1.01)
        session.exec(past)
    tasks.add(ada, "b", request_key="another")
    assert tasks.add(ada, "a", request_key="k").id != first.id


def test_many_threads_lose_nothing(tasks: TaskService, ada: UUID) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = [task.id for task in threads.map(tasks.add, [ada] * 40, [f"task {number}" for number in range(40)])]
    assert sorted(added) == [task.id for task in tasks.list(ada)]


def test_one_key_from_eight_threads_changes_once(tasks: TaskService, ada: UUID) -> None:
    def change(_: int) -> tuple[TaskView, ...]:
        added = tasks.add(ada, "a", request_key="add")
        return (
            added,
            tasks.update(ada, added.id, title="b", request_key="update"),
            tasks.complete(ada, added.id, request_key="complete"),
            tasks.delete(ada, added.id, request_key="delete"),
        )

    with ThreadPoolExecutor(8) as threads:
        answers = set(map(repr, threads.map(change, range(8))))
    assert len(answers) == 1
    assert tasks.list(ada) == ()


def test_different_changes_under_one_key_from_eight_threads_change_once(tasks: TaskService, ada: UUID) -> None:
    def add(number: int) -> TaskView | None:
        try:
            return tasks.add(ada, f"task {number}", request_key="k")
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as threads:
        added = [task for task in threads.map(add, range(8)) if task is not None]
    assert tuple(added) == tasks.list(ada)
    assert len(added) == 1
