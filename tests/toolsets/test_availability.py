from collections.abc import Callable
from contextvars import ContextVar, copy_context

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets._availability import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SETTLED,
    Availability,
    CannotReach,
    Standing,
    after_end,
    after_failure,
    pause,
)
from assistant_kit.toolsets._own_task import OwnTask
from tests.policies.timing import LOOPS, in_virtual_time

who = ContextVar("who", default="nobody")


class Server:
    """Something to reach; `down` says why it cannot be, and each attempt takes `takes` seconds."""

    def __init__(self, takes: float = 0.0) -> None:
        self.down = ""
        self.takes = takes
        self.attempts: list[float] = []

    async def connect(self) -> str:
        self.attempts.append(anyio.current_time())
        await anyio.sleep(self.takes)
        if self.down:
            raise CannotReach(self.down) from OSError(self.down)
        return f"connection {len(self.attempts)}"


def reached(server: Server, chance: Callable[[], float] = float) -> Availability[str]:
    return Availability("files", server.connect, chance=chance)


@given(failures=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_a_pause_grows_with_the_failures_and_has_an_end(failures: int, chance: float) -> None:
    assert 0 <= pause(failures, chance=chance) <= LONGEST_PAUSE
    assert pause(failures + 1, chance=chance) >= pause(failures, chance=chance)


def test_a_pause_doubles_from_half_a_second() -> None:
    assert [pause(failures, chance=0) for failures in range(5)] == [0, FIRST_PAUSE, 1, 2, 4]
    assert pause(2, chance=1) == pytest.approx(0.8)


def test_a_server_that_was_of_use_may_be_tried_at_once_and_one_that_only_dies_may_not() -> None:
    bad = after_failure(Standing(), "refused", now=100.0, chance=0)
    assert (bad.failures, bad.wait(100.0), bad.reason) == (1, FIRST_PAUSE, "refused")
    assert after_end(bad, "ended", lasted=1, served=True, now=200.0, chance=0) == Standing()
    assert after_end(bad, "ended", lasted=SETTLED, served=False, now=200.0, chance=0) == Standing()
    first = after_end(Standing(), "ended", lasted=1, served=False, now=200.0, chance=0)
    assert first.wait(200.0) == 0
    assert after_end(first, "ended", lasted=1, served=False, now=200.0, chance=0).wait(200.0) == FIRST_PAUSE


@pytest.mark.parametrize("backend", LOOPS)
def test_those_who_come_together_share_an_attempt_and_it_outlives_each_of_them(backend: str) -> None:
    async def scene() -> None:
        server = Server(takes=5)
        availability = reached(server)
        found: list[str] = []

        async def look() -> None:
            found.append(await availability.get())

        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(1):
                await availability.get()
            for _ in range(10):
                tasks.start_soon(look)
        assert found == ["connection 1"] * 10
        assert len(server.attempts) == 1
        assert await availability.get() == availability.peek() == availability.value == "connection 1"

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_server_that_is_down_is_left_alone_for_longer_and_longer(backend: str) -> None:
    async def scene() -> None:
        server = Server(takes=30)
        server.down = "refused"
        availability = reached(server)
        assert availability.down is None
        for _ in range(1000):  # somebody asks again and again, for as long as it takes
            with pytest.raises(ToolsetError) as failure:
                await availability.get()
            assert failure.value.toolset == "files"
            assert "refused" in str(failure.value)
            await anyio.sleep(0.1)
        gaps = [round(later - sooner - 30) for sooner, later in zip(server.attempts, server.attempts[1:], strict=False)]
        assert gaps == [1, 1, 2, 4, 8, 16, 32]  # the first is half a second, seen by who looks each tenth of one
        assert availability.down == "refused"

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_looking_never_waits_and_finds_a_server_that_is_back(backend: str) -> None:
    async def scene() -> None:
        server = Server(takes=30)
        server.down = "refused"
        availability = reached(server)
        with pytest.raises(ToolsetError):
            await availability.get()
        server.down = ""
        begun = anyio.current_time()
        assert availability.peek() is None  # too early
        await anyio.sleep(FIRST_PAUSE)
        assert availability.peek() is None  # begins an attempt
        assert availability.peek() is None  # which is under way
        assert availability.down == "refused"
        assert anyio.current_time() == begun + FIRST_PAUSE
        await anyio.sleep(31)
        assert availability.peek() == "connection 2"
        assert availability.down is None
        assert len(server.attempts) == 2

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_what_is_lost_is_reached_anew(backend: str) -> None:
    async def scene() -> None:
        server = Server()
        availability = reached(server)
        for attempt in (1, 2, 3):
            assert await availability.get() == f"connection {attempt}"
            availability.lost("it ended")
        availability.lost("it ended", served=False)
        assert availability.standing.failures == 1
        assert await availability.get() == "connection 4"
        availability.lost("it ended", served=False)
        with pytest.raises(ToolsetError):
            await availability.get()
        await anyio.sleep(LONGEST_PAUSE)
        assert await availability.get() == "connection 5"
        availability.forget()
        assert await availability.get() == "connection 6"

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_mistake_in_an_attempt_is_no_loop_and_no_end_of_the_application(backend: str) -> None:
    async def scene() -> None:
        attempts = 0

        async def broken() -> str:
            nonlocal attempts
            attempts += 1
            await anyio.lowlevel.checkpoint()
            raise KeyError

        availability = Availability("files", broken)
        for _ in range(3):
            with pytest.raises(ToolsetError) as failure:
                await availability.get()
            assert failure.value.toolset == "files"
        assert attempts == 1

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_closing_ends_an_attempt_and_whoever_waits_for_it_hears_of_it(backend: str) -> None:
    async def scene() -> None:
        server = Server(takes=1000)
        availability = reached(server)
        begun = anyio.current_time()

        async def wait() -> None:
            with pytest.raises(ToolsetError):
                await availability.get()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(1)
            await availability.aclose()
        assert anyio.current_time() == begun + 1
        await availability.aclose()

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_an_attempt_sees_the_context_of_whoever_made_the_toolset_and_not_of_who_came_first(backend: str) -> None:
    async def scene() -> None:
        seen: list[str] = []

        async def connect() -> str:
            seen.append(who.get())
            await anyio.lowlevel.checkpoint()
            return ""

        availability = Availability("files", connect, context=copy_context())
        token = who.set("alice")
        await availability.get()
        who.reset(token)
        assert seen == ["nobody"]

    in_virtual_time(backend, scene)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_task_of_its_own_that_fails_ends_alone(backend: str) -> None:
    async def scene() -> None:
        async def broken() -> None:
            await anyio.lowlevel.checkpoint()
            raise KeyError

        task = OwnTask(broken, context=copy_context())
        await task.ended.wait()
        await task.stop()

    in_virtual_time(backend, scene)
