"""Simulation: one thread, virtual time, processes that die or freeze at any await, all decided by one seed.

Whoever runs one seed twice sees the same thing twice, so that a failure which needs three accidents at once can be
looked at. It is what tests this library itself; `docs/simulation.md` has an example.
"""

from assistant_kit.testing.simulation.faults import Faults, Rates
from assistant_kit.testing.simulation.process import Process, ProcessDied, Reply, current_process
from assistant_kit.testing.simulation.store import FaultyStore
from assistant_kit.testing.simulation.virtual_loop import SimulationStuck, VirtualLoop, later, simulate

__all__ = [
    "Faults",
    "FaultyStore",
    "Process",
    "ProcessDied",
    "Rates",
    "Reply",
    "SimulationStuck",
    "VirtualLoop",
    "current_process",
    "later",
    "simulate",
]
