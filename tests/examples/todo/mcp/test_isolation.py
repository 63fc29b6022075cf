"""Whatever users ask of the tools, through whichever door: nobody reads, changes or learns of what is another's."""

import json
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.examples.todo.mcp.doors import Answer, Ask, Service, through

pytestmark = pytest.mark.anyio

USERS = 3
ARGUMENTS: dict[str, dict[str, str]] = {
    "complete_task": {},
    "delete_task": {},
    "update_task": {"title": "taken over"},
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """`who` calls a tool; `task` chooses among all tasks there are, of anybody, and one that nobody has."""

    who: int
    tool: str
    task: int


STEPS = st.builds(
    Step,
    who=st.integers(0, USERS - 1),
    tool=st.sampled_from(["add_task", "add_task", "list_tasks", *ARGUMENTS]),
    task=st.integers(0, 20),
)


@dataclass(kw_only=True)
class World:
    """What should be there: the title of each user's tasks, each of which names its owner."""

    ask: Ask
    users: list[UUID]
    tasks: dict[UUID, dict[int, str]] = field(default_factory=dict[UUID, dict[int, str]])

    async def take(self, step: Step) -> None:
        user = self.users[step.who]
        mine = self.tasks.setdefault(user, {})
        if step.tool == "add_task":
            title = f"secret of {user}"
            added = json.loads(self.seen(user, await self.ask(user, "add_task", title=title)).text)
            mine[added["id"]] = title
        elif step.tool == "list_tasks":
            listed = json.loads(self.seen(user, await self.ask(user, "list_tasks")).text)
            assert {task["id"]: task["title"] for task in listed["tasks"]} == mine
        else:
            await self.change(user, mine, step)

    async def change(self, user: UUID, mine: dict[int, str], step: Step) -> None:
        there = sorted(number for tasks in self.tasks.values() for number in tasks)
        nobodys = max(there, default=0) + 10_000
        number = [*there, nobodys][step.task % (len(there) + 1)]
        arguments = ARGUMENTS[step.tool]
        answer = self.seen(user, await self.ask(user, step.tool, task_id=number, **arguments))
        assert answer.failed == (number not in mine)
        if answer.failed:
            unknown = await self.ask(user, step.tool, task_id=nobodys, **arguments)
            assert answer.text.replace(str(number), "?") == unknown.text.replace(str(nobodys), "?")
        elif step.tool == "delete_task":
            del mine[number]
        else:
            mine[number] = arguments.get("title", mine[number])

    def seen(self, user: UUID, answer: Answer) -> Answer:
        """Look at what a user gets to see: no other one."""
        assert not [other for other in self.users if other != user and str(other) in answer.text]
        return answer


@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making it smaller would take minutes: it is small
)
@given(steps=st.lists(STEPS, min_size=5, max_size=12))
async def test_nothing_of_another_user_is_seen_or_changed(door: str, service: Service, steps: list[Step]) -> None:
    async with through(door, service) as ask:
        world = World(ask=ask, users=[service.user() for _ in range(USERS)])
        for step in steps:
            await world.take(step)
        for user in world.users:
            kept = {task.id: task.title for task in service.tasks.list(user)}
            assert kept == world.tasks.get(user, {})


@pytest.mark.parametrize("name", ["user", "user_id", "todo/user", "call", "context", "_meta"])
async def test_a_user_among_the_arguments_is_not_looked_at(
    door: str, service: Service, ada: UUID, eve: UUID, name: str
) -> None:
    hers = service.tasks.add(ada, "secret")
    async with through(door, service) as ask:
        for said in (str(ada), {"todo/user": str(ada)}):
            answer = await ask(eve, "complete_task", task_id=hers.id, **{name: said})
            assert answer.failed
            assert "secret" not in answer.text
            listed = await ask(eve, "list_tasks", **{name: said})
            assert "secret" not in listed.text
            await ask(eve, "add_task", title="mine", **{name: said})
    assert service.tasks.list(ada) == (hers,)
