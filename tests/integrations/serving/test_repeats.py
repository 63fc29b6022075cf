"""A call under an idempotency key is made once, whatever happens to who makes it; in virtual time."""

from functools import partial

import anyio
import pytest

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.integrations.serving.outcomes import Outcome, problem
from assistant_kit.integrations.serving.repeats import Claim, Place, Recent, Repeats, digest_of
from assistant_kit.messages import Image, Text
from assistant_kit.protocols.shared_state import Change, T
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.tool_spec import Effect, keyed
from tests.policies.timing import LOOPS, in_virtual_time

TTL = 1000.0
MARGIN = 10.0
SECONDS = 60.0
DONE = Outcome(content=(Text(text="done"), Image(data=b"png", media_type="image/png")))


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["recent", "shared state"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "recent":
        return Recent(clock=anyio.current_time)
    return MemoryState(clock=anyio.current_time)


class Worker:
    """A process that makes calls; its tool takes `takes` seconds and then has an outcome."""

    def __init__(self, place: Place, *, takes: float = 0.0, outcome: Outcome = DONE) -> None:
        self.repeats = Repeats(place, ttl=TTL)
        self.takes = takes
        self.outcome = outcome
        self.began = 0

    async def call(self, *, key: str = "k", owner: str = "ann", effect: Effect = "once", digest: str = "d") -> Outcome:
        claim = Claim(digest=digest, effect=effect, seconds=SECONDS)
        return await self.repeats.once(owner, key, claim, self.make)

    async def make(self) -> Outcome:
        self.began += 1
        await anyio.sleep(self.takes)
        return self.outcome


async def abandoned(worker: Worker, *, effect: Effect = "once") -> None:
    """Begin a call and cancel it."""
    with anyio.move_on_after(1):
        await worker.call(effect=effect)


def test_a_repeated_call_gets_what_the_first_one_got(loop: str, place: Place) -> None:
    worker = Worker(place)

    async def main() -> None:
        assert await worker.call() == DONE
        assert await worker.call() == DONE
        assert await Worker(place, outcome=problem("tool_error", "other")).call() == DONE

    in_virtual_time(loop, main)
    assert worker.began == 1


def test_users_and_keys_do_not_meet(loop: str, place: Place) -> None:
    worker = Worker(place)

    async def main() -> None:
        await worker.call(owner="ann", key="1")
        await worker.call(owner="bob", key="1")
        await worker.call(owner="bob", key="2")

    in_virtual_time(loop, main)
    assert worker.began == 3


def test_a_key_belongs_to_one_tool_with_one_set_of_arguments(loop: str, place: Place) -> None:
    worker = Worker(place)

    async def main() -> None:
        await worker.call(digest=digest_of("pay", {"a": 1, "b": 2}))
        assert await worker.call(digest=digest_of("pay", {"b": 2, "a": 1})) == DONE
        assert (await worker.call(digest=digest_of("pay", {"a": 2}))).problem == "key_reused"

    in_virtual_time(loop, main)
    assert worker.began == 1


def test_a_call_that_is_being_made_is_waited_for(loop: str, place: Place) -> None:
    first, second = Worker(place, takes=5), Worker(place)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.call)
            await anyio.sleep(1)
            assert await second.call() == DONE

    in_virtual_time(loop, main)
    assert (first.began, second.began) == (1, 0)


def test_it_is_waited_for_no_longer_than_a_call_takes(loop: str, place: Place) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Worker(place, takes=2 * SECONDS).call)
            await anyio.sleep(0.01)
            outcome = await Worker(place).call()
            assert (outcome.problem, outcome.retryable, outcome.retry_after) == ("unavailable", True, 1.0)
            tasks.cancel_scope.cancel()

    in_virtual_time(loop, main)


@pytest.mark.parametrize(
    ("effect", "times"), [("once", 1), ("read", 2), ("idempotent", 2), (keyed(60), 2), (keyed(0.5), 1)]
)
def test_after_a_cancelled_call_the_effect_decides(loop: str, place: Place, effect: Effect, times: int) -> None:
    worker = Worker(place, takes=100)

    async def main() -> None:
        await abandoned(worker, effect=effect)
        worker.takes = 0
        again = await worker.call(effect=effect)
        assert again.problem == (None if times == 2 else "outcome_unknown")
        assert await worker.call(effect=effect) == again

    in_virtual_time(loop, main)
    assert worker.began == times


@pytest.mark.parametrize(("effect", "times"), [("once", 1), ("read", 2), (keyed(600), 2), (keyed(50), 1)])
def test_the_claim_of_a_worker_that_died_is_judged_when_its_time_is_over(
    loop: str, place: Place, effect: Effect, times: int
) -> None:
    dying = Worker(Dying(place), takes=100)
    worker = Worker(place)

    async def main() -> None:
        await abandoned(dying, effect=effect)
        await anyio.sleep(SECONDS + MARGIN)
        again = await worker.call(effect=effect)
        assert again.problem == (None if times == 2 else "outcome_unknown")

    in_virtual_time(loop, main)
    assert dying.began + worker.began == times


@pytest.mark.parametrize("kind", ["tool_error", "outcome_unknown", "internal_error"])
def test_an_outcome_that_tells_of_an_execution_lasts(loop: str, place: Place, kind: str) -> None:
    worker = Worker(place, outcome=problem(kind, "no"))  # pyright: ignore[reportArgumentType]  (a literal, by the list)

    async def main() -> None:
        assert await worker.call() == await worker.call()

    in_virtual_time(loop, main)
    assert worker.began == 1


@pytest.mark.parametrize("kind", ["unavailable", "invalid_arguments", "timeout"])
def test_an_outcome_of_a_call_that_was_not_made_does_not_last(loop: str, place: Place, kind: str) -> None:
    worker = Worker(place, outcome=problem(kind, "no"))  # pyright: ignore[reportArgumentType]  (a literal, by the list)

    async def main() -> None:
        await worker.call()
        worker.outcome = DONE
        assert await worker.call() == DONE

    in_virtual_time(loop, main)
    assert worker.began == 2


def test_outcomes_are_forgotten_after_their_time(loop: str, place: Place) -> None:
    worker = Worker(place)

    async def main() -> None:
        await worker.call()
        await anyio.sleep(TTL + 1)
        await worker.call()

    in_virtual_time(loop, main)
    assert worker.began == 2


def test_of_an_outcome_that_is_too_large_it_is_kept_that_it_was_there(loop: str, place: Place) -> None:
    large = Outcome(content=(Text(text="x" * 2_000_000),))
    worker = Worker(place, outcome=large)

    async def main() -> None:
        assert await worker.call() == large
        assert (await worker.call()).problem == "tool_error"

    in_virtual_time(loop, main)
    assert worker.began == 1


def test_what_cannot_be_recorded_is_still_answered(loop: str, place: Place) -> None:
    async def main() -> None:
        assert await Worker(Dying(place)).call() == DONE
        with pytest.raises(StoreError):
            await Worker(Dying(place, lives=0)).call()

    in_virtual_time(loop, main)


def test_a_user_can_be_erased(loop: str, place: Place) -> None:
    worker = Worker(place)

    async def main() -> None:
        await worker.call(owner="ann")
        await worker.call(owner="bob")
        await place.erase("ann")
        await worker.call(owner="ann")
        await worker.call(owner="bob")

    in_virtual_time(loop, main)
    assert worker.began == 3


def test_memory_is_bounded_and_what_is_running_stays(loop: str) -> None:
    async def main() -> None:
        place = Recent(clock=anyio.current_time, limit=4000)
        running, worker = Worker(place, takes=30), Worker(place)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.call)
            await anyio.sleep(1)
            for number in range(50):
                await worker.call(key=f"key {number}")
            assert await worker.call(key="key 49") == DONE
            assert worker.began == 50
            await worker.call(key="key 0")
            assert worker.began == 51
            assert await worker.call() == DONE
            assert (running.began, worker.began) == (1, 51)

    in_virtual_time(loop, main)


def test_calls_that_run_are_remembered_however_many_they_are(loop: str) -> None:
    async def main() -> None:
        worker = Worker(Recent(clock=anyio.current_time, limit=10), takes=30)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                for number in range(5):
                    tasks.start_soon(partial(worker.call, key=f"key {number}"))
                await anyio.sleep(1)
            assert worker.began == 5
            tasks.cancel_scope.cancel()

    in_virtual_time(loop, main)


def test_a_claim_whose_time_is_over_goes_too(loop: str) -> None:
    async def main() -> None:
        place = Recent(clock=anyio.current_time, limit=400)
        dying = Worker(Dying(place), takes=100)
        await abandoned(dying)
        await anyio.sleep(SECONDS + MARGIN)
        worker = Worker(place)
        for number in range(10):
            await worker.call(key=f"key {number}")
        assert await worker.call() == DONE  # nothing is known of it any more

    in_virtual_time(loop, main)


class Dying:
    """A place that is reached only `lives` times by a worker."""

    def __init__(self, place: Place, *, lives: float = 1) -> None:
        self.place = place
        self.lives = lives

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        self.lives -= 1
        if self.lives < 0:
            raise StoreUnavailable("gone")
        return await self.place.update(owner, key, change)

    async def erase(self, owner: str) -> None:
        await self.place.erase(owner)
