"""Only so many calls run at once; the others wait in order, or are told at once that it would be for nothing."""

import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import inf
from statistics import mean
from typing import Any, Literal, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError, ModelRateLimited, ModelRejected, ModelTimeout, Overloaded
from assistant_kit.events import Delayed, Event
from assistant_kit.policies.bulkhead import Adaptive, Bulkhead
from assistant_kit.protocols.policy import (
    Call,
    CallKind,
    Condition,
    ConditionChanged,
    ExplainedPolicy,
    Policy,
    Priority,
    ReportingPolicy,
    WatchedPolicy,
)
from tests.policies.timing import in_virtual_time

T = TypeVar("T")
KEY = "bulkhead model:m"

both_loops = pytest.mark.parametrize("loop", ["asyncio", "trio"])


def call(name: str = "m", *, priority: Priority = "interactive", until: float = inf) -> Call:
    return Call(kind="model", name=name, priority=priority, deadline=Deadline(until))


def figures(bulkhead: Bulkhead, key: str = KEY) -> dict[str, Any]:
    return dict(bulkhead.health()[key].data)


def waiting(bulkhead: Bulkhead) -> int:
    return sum(figures(bulkhead)["waiting"].values())


@dataclass
class Upstream:
    """Answers after so many seconds, and remembers who came and how many were there at once."""

    seconds: float = 1.0
    began: list[str] = field(default_factory=list[str])
    ended: list[str] = field(default_factory=list[str])
    inside: int = 0
    most: int = 0

    async def answer(self, asked: Call) -> str:
        self.began.append(asked.user or "")
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.inside -= 1
        self.ended.append(asked.user or "")
        return f"for {asked.user}"


@dataclass
class Crowd:
    """Calls that are made one after the other without waiting for their answers."""

    bulkhead: Bulkhead
    upstream: Upstream = field(default_factory=Upstream)
    refused: dict[str, Overloaded] = field(default_factory=dict[str, Overloaded])
    at: dict[str, float] = field(default_factory=dict[str, float])

    async def one(self, user: str, priority: Priority = "interactive", until: float = inf) -> None:
        try:
            await self.bulkhead.around(replace(call(priority=priority, until=until), user=user), self.upstream.answer)
        except Overloaded as error:
            self.refused[user] = error
        self.at[user] = anyio.current_time()


async def settle() -> None:
    """Let every task go on until it waits, in no time."""
    for _ in range(20):
        await checkpoint()


async def started(*calls: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start calls in this order, each one before the next, and wait for all."""
    with anyio.fail_after(10_000):
        async with anyio.create_task_group() as tasks:
            for each in calls:
                tasks.start_soon(each)
                await settle()


# --- places and the queue


@both_loops
def test_no_more_than_the_limit_run_at_once_and_all_are_served(loop: str) -> None:
    crowd = Crowd(Bulkhead(3))

    async def main() -> float:
        start = anyio.current_time()
        await started(*(partial(crowd.one, str(number)) for number in range(12)))
        return anyio.current_time() - start

    assert in_virtual_time(loop, main) == 4
    assert crowd.upstream.most == 3
    began = [int(user) for user in crowd.upstream.began]
    assert [sorted(began[index : index + 3]) for index in (0, 3, 6, 9)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]
    assert (figures(crowd.bulkhead)["running"], waiting(crowd.bulkhead)) == (0, 0)


@both_loops
def test_a_user_with_many_calls_does_not_keep_others_waiting(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, queue=20))

    async def main() -> None:
        await started(*[partial(crowd.one, "ann")] * 9, partial(crowd.one, "bob"), partial(crowd.one, "eve"))

    in_virtual_time(loop, main)
    assert crowd.upstream.began[:4] == ["ann", "ann", "bob", "eve"]


@both_loops
def test_interactive_calls_go_first_and_each_kind_in_the_order_of_arrival(loop: str) -> None:
    crowd = Crowd(Bulkhead(1))

    async def main() -> None:
        await started(
            partial(crowd.one, "first", "background"),
            partial(crowd.one, "b1", "background"),
            partial(crowd.one, "i1"),
            partial(crowd.one, "b2", "background"),
            partial(crowd.one, "i2"),
        )

    in_virtual_time(loop, main)
    assert crowd.upstream.began == ["first", "i1", "i2", "b1", "b2"]


@both_loops
def test_when_the_queue_is_full_the_newest_background_call_makes_room_for_an_interactive_one(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, queue=2))

    async def main() -> None:
        await started(
            partial(crowd.one, "running"),
            partial(crowd.one, "b1", "background"),
            partial(crowd.one, "b2", "background"),
            partial(crowd.one, "b3", "background"),
            partial(crowd.one, "i1"),
            partial(crowd.one, "i2"),
            partial(crowd.one, "i3"),
        )

    in_virtual_time(loop, main)
    assert crowd.upstream.ended == ["running", "i1", "i2"]
    assert list(crowd.refused) == ["b3", "b2", "b1", "i3"]
    error = crowd.refused["i3"]
    assert (error.upstream, error.limit, error.waiting, error.retry_after) == ("model:m", 1, 2, None)
    assert (figures(crowd.bulkhead)["refused"], figures(crowd.bulkhead)["shed"]) == (2, 2)


@both_loops
def test_a_refusal_says_when_it_may_go_better(loop: str) -> None:
    crowd = Crowd(Bulkhead(2, queue=1), Upstream(seconds=8.0))

    async def main() -> None:
        await crowd.one("earlier")
        await started(*(partial(crowd.one, user) for user in ("r1", "r2", "w1", "no")))

    in_virtual_time(loop, main)
    assert crowd.refused["no"].retry_after == 8  # one waits already: two calls of 8 s by two at once


@both_loops
def test_who_has_waited_for_as_long_as_it_may_leaves_the_queue(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, max_wait=5.0), Upstream(seconds=8.0))

    async def main() -> None:
        await started(partial(crowd.one, "long"), partial(crowd.one, "late"))
        await crowd.one("next")

    in_virtual_time(loop, main)
    assert list(crowd.refused) == ["late"]
    assert crowd.at == {"late": 5, "long": 8, "next": 16}
    assert crowd.refused["late"].waiting == 0
    assert figures(crowd.bulkhead)["expired"] == 1


@both_loops
def test_a_call_whose_deadline_passes_leaves_the_queue(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, max_wait=None), Upstream(seconds=8.0))

    async def main() -> None:
        until = anyio.current_time() + 3
        await started(
            partial(crowd.one, "long"), partial(crowd.one, "late", "interactive", until), partial(crowd.one, "next")
        )

    in_virtual_time(loop, main)
    start = crowd.at["late"] - 3
    assert {user: at - start for user, at in crowd.at.items()} == {"late": 3, "long": 8, "next": 16}
    assert list(crowd.refused) == ["late"]


@both_loops
def test_a_call_that_cannot_be_served_in_time_is_refused_at_once(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, max_wait=None), Upstream(seconds=8.0))

    async def main() -> None:
        await crowd.one("earlier")
        now = anyio.current_time()
        await started(
            partial(crowd.one, "running"),
            partial(crowd.one, "hopeless", "interactive", now + 15.9),
            partial(crowd.one, "fits", "interactive", now + 16),
        )

    in_virtual_time(loop, main)
    assert list(crowd.refused) == ["hopeless"]
    assert crowd.at["hopeless"] == crowd.at["earlier"]
    assert crowd.upstream.ended == ["earlier", "running", "fits"]


@both_loops
def test_who_is_let_in_in_the_moment_in_which_its_patience_ends_goes_in(loop: str) -> None:
    crowd = Crowd(Bulkhead(1, max_wait=8.0), Upstream(seconds=8.0))

    async def main() -> None:
        await started(*(partial(crowd.one, user) for user in ("first", "second")))
        await crowd.one("third")

    in_virtual_time(loop, main)
    served = set(crowd.upstream.ended)
    assert served | set(crowd.refused) == {"first", "second", "third"}
    assert not served & set(crowd.refused)
    assert figures(crowd.bulkhead)["running"] == 0


@pytest.mark.anyio
async def test_without_a_queue_a_call_that_finds_no_place_is_refused() -> None:
    crowd = Crowd(Bulkhead(1, queue=0), Upstream(seconds=0))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.one, "first")
            tasks.start_soon(crowd.one, "second")
    assert len(crowd.refused) == 1
    assert not Bulkhead(1, queue=0).health()


# --- which calls share a limit


@both_loops
@pytest.mark.parametrize(("per", "most"), [("upstream", 2), ("all", 1)])
def test_calls_of_one_upstream_share_a_limit_or_all_calls_do(
    loop: str, per: Literal["upstream", "all"], most: int
) -> None:
    bulkhead, upstream = Bulkhead(1, per=per), Upstream()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b", "a", "b"):
                tasks.start_soon(bulkhead.around, call(name), upstream.answer)

    in_virtual_time(loop, main)
    assert upstream.most == most
    names = {"bulkhead all calls"} if per == "all" else {"bulkhead model:a", "bulkhead model:b"}
    assert set(bulkhead.health()) == names


@both_loops
@pytest.mark.parametrize(("kind", "most"), [("model", 1), ("other", 1), ("tool", 3)])
def test_calls_of_models_and_of_guarded_functions_are_limited_and_those_of_tools_only_if_asked(
    loop: str, kind: CallKind, most: int
) -> None:
    upstream, made = Upstream(), replace(call(), kind=kind)

    async def three_calls(bulkhead: Bulkhead) -> int:
        upstream.most = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(bulkhead.around, made, upstream.answer)
        return upstream.most

    assert in_virtual_time(loop, partial(three_calls, Bulkhead(1))) == most
    assert in_virtual_time(loop, partial(three_calls, Bulkhead(1, kinds=[kind]))) == 1
    assert in_virtual_time(loop, partial(three_calls, Bulkhead(1, kinds=[]))) == 3
    assert bool(Bulkhead(1).explain(made)) == (most == 1)


@pytest.mark.anyio
async def test_upstreams_that_nobody_uses_any_more_are_forgotten_when_there_are_many() -> None:
    bulkhead, upstream = Bulkhead(1), Upstream(seconds=0)

    async def nested(_: Call) -> None:
        for number in range(1_000):
            await bulkhead.around(call(f"other {number}"), upstream.answer)

    with anyio.fail_after(10):
        await bulkhead.around(call("used"), nested)
    assert list(bulkhead.health()) == ["bulkhead model:used", "bulkhead model:other 999"]


# --- errors and cancellation


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ModelRejected("no", model="m"), ValueError("a mistake"), KeyboardInterrupt()])
async def test_a_call_that_fails_gives_its_place_back_and_its_error_passes(error: BaseException) -> None:
    bulkhead, upstream = Bulkhead(1, queue=0), Upstream(seconds=0)

    async def fail(_: Call) -> None:
        raise error

    with anyio.fail_after(5):
        with pytest.raises(type(error)) as caught:
            await bulkhead.around(call(), fail)
        assert caught.value is error
        await bulkhead.around(call(), upstream.answer)


@pytest.mark.anyio
async def test_a_waiting_call_that_is_cancelled_leaves_its_place_in_the_queue() -> None:
    bulkhead, upstream, gate = Bulkhead(1, queue=1), Upstream(seconds=0), anyio.Event()

    async def hold(_: Call) -> None:
        await gate.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bulkhead.around, call(), hold)
            await settle()
            with anyio.move_on_after(0):
                await bulkhead.around(call(), upstream.answer)
            assert waiting(bulkhead) == 0
            tasks.start_soon(bulkhead.around, call(), upstream.answer)
            await settle()
            gate.set()
    assert upstream.began == [""]


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_when_it_has_just_been_let_in_passes_its_place_on() -> None:
    bulkhead, upstream, gate = Bulkhead(1), Upstream(seconds=0), anyio.Event()
    unlucky = anyio.CancelScope()

    async def hold(_: Call) -> None:
        await gate.wait()

    async def first() -> None:
        await bulkhead.around(call(), hold)
        assert figures(bulkhead)["running"] == 1  # it has been given to the second, who does not know yet
        unlucky.cancel()

    async def second() -> None:
        with unlucky:
            await bulkhead.around(replace(call(), user="second"), upstream.answer)

    async def third() -> None:
        await bulkhead.around(replace(call(), user="third"), upstream.answer)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for each in (first, second, third):
                tasks.start_soon(each)
                await settle()
            gate.set()
    assert upstream.began == ["third"]
    assert figures(bulkhead)["running"] == 0


async def cancelled_after(steps: int, cancelled: frozenset[int], phases: set[str]) -> None:
    """Make four calls through two places, cancel some of them after so many steps, and look at what is left."""
    bulkhead, ended = Bulkhead(2), list[int]()
    scopes = {number: anyio.CancelScope() for number in range(4)}
    phase = dict.fromkeys(scopes, "waits")

    async def answer(_: Call, number: int) -> None:
        phase[number] = "runs"
        for _step in range(3):
            await checkpoint()

    async def one(number: int) -> None:
        with scopes[number]:
            await bulkhead.around(call(), partial(answer, number=number))
            phase[number] = "ended"
            ended.append(number)
        if scopes[number].cancelled_caught:
            phases.add(phase[number])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in scopes:
                tasks.start_soon(one, number)
            for _ in range(steps):
                await checkpoint()
            for number in cancelled:
                scopes[number].cancel()
        await bulkhead.around(call(), partial(answer, number=0))
    assert set(scopes) - cancelled <= set(ended)
    assert (figures(bulkhead)["running"], waiting(bulkhead)) == (0, 0)


@pytest.mark.anyio
async def test_wherever_calls_are_cancelled_no_place_is_lost_and_the_others_are_served() -> None:
    phases = set[str]()
    for steps in range(16):
        for cancelled in ({0}, {2}, {0, 2}, {0, 1}, {2, 3}, {0, 1, 2, 3}):
            await cancelled_after(steps, frozenset(cancelled), phases)
    assert phases == {"waits", "runs"}


def test_in_whatever_order_tasks_are_run_cancellation_loses_no_place() -> None:
    phases = set[str]()
    for seed in range(100):
        for cancelled in ({0, 2}, {1, 2, 3}):
            main = partial(cancelled_after, seed % 12, frozenset(cancelled), phases)
            in_virtual_time("asyncio", main, seed=seed)
    assert phases == {"waits", "runs"}


# --- several event loops


def in_a_thread(backend: str, main: Callable[[], Awaitable[None]], failed: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            anyio.run(main, backend=backend)
        except BaseException as error:  # noqa: BLE001  (it is looked at in the test's own thread)
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_limit_holds_for_several_threads_and_event_loops_together() -> None:
    bulkhead = Bulkhead(3, queue=1_000, max_wait=None)
    lock, inside, most, served, failed = threading.Lock(), 0, list[int](), list[int](), list[BaseException]()

    async def answer(_: Call) -> None:
        nonlocal inside
        with lock:
            inside += 1
            most.append(inside)
        await checkpoint()
        with lock:
            inside -= 1

    async def one(number: int) -> None:
        await bulkhead.around(call(), answer)
        served.append(number)

    async def main() -> None:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(one, number)

    for thread in [in_a_thread(backend, main, failed) for backend in ("asyncio", "trio", "asyncio")]:
        thread.join(30)
    assert failed == []
    assert len(served) == 600
    assert max(most) == 3
    assert (figures(bulkhead)["running"], waiting(bulkhead)) == (0, 0)


@both_loops
def test_a_bulkhead_outlives_its_event_loop(loop: str) -> None:
    crowd = Crowd(Bulkhead(1))

    async def main() -> None:
        await started(partial(crowd.one, "a"), partial(crowd.one, "b"))

    in_virtual_time(loop, main)
    in_virtual_time(loop, main)
    assert crowd.upstream.ended == ["a", "b", "a", "b"]


# --- a limit that moves


@dataclass
class Busy:
    """Takes a second, or longer in proportion where it has more calls than its `capacity`; or is overloaded."""

    capacity: int
    inside: int = 0
    fails: bool = False

    async def answer(self, _: Call) -> None:
        self.inside += 1
        try:
            await anyio.sleep(max(1.0, self.inside / self.capacity))
        finally:
            self.inside -= 1
        if self.fails:
            raise ModelRateLimited("slow down", model="m")


async def limits(bulkhead: Bulkhead, busy: Busy, *, calls: int, callers: int = 40) -> list[int]:
    """Let many callers make so many calls; the limit after each."""
    seen, left = list[int](), count()

    async def caller() -> None:
        while next(left) < calls:
            with suppress(ModelRateLimited):
                await bulkhead.around(call(), busy.answer)
            seen.append(figures(bulkhead)["limit"])

    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(caller)
    return seen


@both_loops
def test_the_limit_settles_near_what_the_upstream_can_take_and_follows_when_that_changes(loop: str) -> None:
    bulkhead = Bulkhead(10, max_wait=None, adaptive=Adaptive(minimum=2, maximum=50))

    async def main() -> list[list[int]]:
        busy, courses = Busy(8), list[list[int]]()
        for capacity in (8, 16, 8):
            busy.capacity = capacity
            courses.append(await limits(bulkhead, busy, calls=1_500))
        return courses

    for capacity, course in zip((8, 16, 8), in_virtual_time(loop, main), strict=True):
        assert capacity / 1.5 <= mean(course[-500:]) <= capacity * 1.5
        assert min(course) >= 2
        assert max(course) <= 50


@both_loops
def test_an_overload_brings_the_limit_down_and_its_end_brings_it_back(loop: str) -> None:
    bulkhead = Bulkhead(30, max_wait=None, adaptive=Adaptive(minimum=3, maximum=30, latency=None))

    async def main() -> tuple[list[int], list[int]]:
        busy = Busy(1_000, fails=True)
        down = await limits(bulkhead, busy, calls=600)
        busy.fails = False
        return down, await limits(bulkhead, busy, calls=1_200)

    down, up = in_virtual_time(loop, main)
    assert (down[0], down[-1], up[-1]) == (30, 3, 30)
    assert min(down) == 3
    assert max(up) == 30


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (ModelRateLimited("x", model="m"), 9),
        (ModelTimeout("x", model="m"), 9),
        (TimeoutError(), 9),
        (ModelRejected("x", model="m"), 10),
        (ValueError("a mistake"), 10),
    ],
)
async def test_only_signs_of_overload_lower_the_limit(error: Exception, limit: int) -> None:
    bulkhead = Bulkhead(10, adaptive=Adaptive(latency=None))

    async def fail(_: Call) -> None:
        raise error

    with anyio.fail_after(5):
        for _ in range(3):
            with pytest.raises(type(error)):
                await bulkhead.around(call(), fail)
    assert figures(bulkhead)["limit"] == limit


# --- what an operator sees


@both_loops
def test_how_full_it_is_and_what_it_has_turned_away_can_be_seen(loop: str) -> None:
    bulkhead = Bulkhead(1, queue=2)
    crowd, seen = Crowd(bulkhead, Upstream(seconds=4.0)), list[Condition]()

    async def main() -> None:
        async def look() -> None:
            seen.append(bulkhead.health()[KEY])

        await started(
            partial(crowd.one, "a"),
            look,
            partial(crowd.one, "b"),
            partial(crowd.one, "c", "background"),
            look,
            partial(crowd.one, "d", "background"),
        )
        await look()

    in_virtual_time(loop, main)
    assert [(each.state, each.ok) for each in seen] == [("free", True), ("overloaded", False), ("free", True)]
    assert seen[1].data == {
        "running": 1,
        "limit": 1,
        "waiting": {"interactive": 1, "background": 1},
        "queue": 2,
        "refused": 0,
        "shed": 0,
        "expired": 0,
        "seconds_per_call": None,
    }
    assert seen[2].data["refused"] == 1
    assert seen[2].data["seconds_per_call"] == 4


@both_loops
def test_who_has_to_wait_is_told_so_once_and_for_how_long_as_far_as_is_known(loop: str) -> None:
    bulkhead = Bulkhead(1, queue=3)
    told: list[tuple[str, Event]] = []

    async def one(user: str) -> None:
        def notify(event: Event) -> None:
            told.append((user, event))

        asked = replace(call(), user=user, notify=notify)
        await bulkhead.around(asked, Upstream(seconds=4.0).answer)

    async def main() -> None:
        await started(partial(one, "a"), partial(one, "b"))
        await started(partial(one, "c"), partial(one, "d"), partial(one, "e"))

    in_virtual_time(loop, main)
    waits = Delayed(call="model", name="m", reason="queue", expected=None)
    assert told == [("b", waits), ("d", replace(waits, expected=4.0)), ("e", replace(waits, expected=8.0))]


@both_loops
def test_an_operator_is_told_when_calls_begin_to_wait_and_are_refused_and_when_nobody_waits(loop: str) -> None:
    bulkhead, told = Bulkhead(1, queue=2), list[ConditionChanged]()
    crowd = Crowd(bulkhead, Upstream(seconds=4.0))

    def hear(change: ConditionChanged) -> None:
        assert bulkhead.health()[change.name] == change.condition  # no lock is held
        told.append(change)

    async def main() -> None:
        async def listen() -> None:
            bulkhead.report_to(hear)
            bulkhead.report_to(hear)

        await started(partial(crowd.one, "a"), partial(crowd.one, "b"), listen, partial(crowd.one, "c"))
        await started(partial(crowd.one, "alone"))

    in_virtual_time(loop, main)
    assert [(change.name, change.before, change.after) for change in told] == [
        (KEY, "waiting", "overloaded"),
        (KEY, "overloaded", "waiting"),
        (KEY, "waiting", "free"),
    ]
    assert isinstance(bulkhead, ReportingPolicy)


@pytest.mark.anyio
async def test_without_a_queue_a_bulkhead_is_overloaded_as_soon_as_all_places_are_taken() -> None:
    bulkhead, told = Bulkhead(1, queue=0), list[ConditionChanged]()
    bulkhead.report_to(told.append)
    with anyio.fail_after(5):
        await bulkhead.around(call(), Upstream(seconds=0).answer)
    assert [change.after for change in told] == ["overloaded", "free"]


@pytest.mark.anyio
async def test_what_applies_to_a_call_is_told() -> None:
    fixed: Policy = Bulkhead(7, queue=3, max_wait=12.0)
    assert isinstance(fixed, ExplainedPolicy)
    assert isinstance(fixed, WatchedPolicy)
    assert fixed.explain(call()) == "bulkhead: 7 at once of model:m, 3 may wait for up to 12 s"
    moving = Bulkhead(10, max_wait=None, adaptive=Adaptive(maximum=40))
    assert moving.explain(call()) == "bulkhead: 10 (now; 1 to 40) at once of model:m, 100 may wait"
    await moving.around(call(), Upstream(seconds=0).answer)
    assert moving.explain(call()) == "bulkhead: 3 (now; 1 to 40) at once of model:m, 100 may wait"


@pytest.mark.parametrize(
    ("limit", "queue", "max_wait"), [(0, 1, None), (1, -1, None), (1, 1, -0.1), (1, 1, float("nan"))]
)
def test_a_bulkhead_that_lets_nothing_through_is_refused(limit: int, queue: int, max_wait: float | None) -> None:
    with pytest.raises(ConfigurationError):
        Bulkhead(limit, queue=queue, max_wait=max_wait)
