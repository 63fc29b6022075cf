import random
from collections import Counter

import anyio

from assistant_kit.testing.simulation import Faults, Process, Rates, VirtualLoop, simulate


def test_faults_strike_as_often_as_they_should_and_are_counted_and_told() -> None:
    told: list[tuple[str, Process | None]] = []
    faults = Faults(random.Random(1), notice=lambda kind, process: told.append((kind, process)))
    struck = sum(faults.strikes("rain", 0.25) for _ in range(4_000))
    assert 900 < struck < 1_100
    assert faults.counted == Counter({"rain": struck})
    assert told == [("rain", None)] * struck


def test_nothing_strikes_any_more_when_faults_have_stopped() -> None:
    faults = Faults(random.Random(1), Rates(store_before=1.0))
    assert faults.store() == "before"
    assert faults.fuse() > 0
    faults.active = False
    assert not faults.strikes("rain", 1.0)
    assert faults.store() is None
    assert faults.fuse() == 0


def test_a_fuse_is_as_long_as_the_rates_say() -> None:
    faults = Faults(random.Random(1), Rates(crash=0.01, freeze=0.01))
    assert 40 < sum(faults.fuse() for _ in range(1_000)) / 1_000 < 60
    assert Faults(random.Random(1), Rates(crash=0.0, freeze=0.0)).fuse() == 0


def test_store_faults_are_of_all_kinds() -> None:
    faults = Faults(random.Random(1), Rates(store_before=0.2, store_after=0.2, store_late=0.2))
    seen = Counter(faults.store() for _ in range(1_000))
    assert all(seen[fault] > 150 for fault in ("before", "after", "late"))
    assert seen[None] > 300


def test_processes_are_killed_and_frozen_and_left_alone_in_the_end() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = Faults(random.Random(1), Rates(shortest_freeze=1.0, longest_freeze=100.0))
        states: Counter[str] = Counter()
        for _ in range(200):
            process = Process("p", loop)
            faults.disturb(process)
            states[process.state] += 1
        assert states["dead"] == faults.counted["crash"] > 50
        assert states["frozen"] == faults.counted["freeze"] > 50
        faults.active = False
        spared = Process("p", loop)
        faults.disturb(spared)
        assert (spared.state, spared.fuse) == ("running", 0)

    simulate(main, seed=1)


def test_a_way_through_the_network_is_slow_now_and_then() -> None:
    async def main(loop: VirtualLoop) -> int:
        del loop
        faults = Faults(random.Random(1), Rates(slow=0.5, slowest=3.0))
        slow = 0
        for _ in range(100):
            began = anyio.current_time()
            await faults.travel()
            assert anyio.current_time() - began <= 3.0
            slow += anyio.current_time() > began
        return slow

    assert 30 < simulate(main, seed=1) < 70
