"""Bugs that somebody could make, planted into the real engine one at a time, to see that the rules find them.

Each is a few replaced functions, put in place for the time of a block; the table has them by their names.
"""

from tests.simulation.mutants import approvals, leases, records, repeats, store, telling, windows
from tests.simulation.mutants.planting import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "approvals", "leases", "records", "repeats", "store", "telling", "windows"]
