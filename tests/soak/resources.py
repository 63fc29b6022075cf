"""What a process holds: memory, threads, open files, tasks."""

import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_PAGE = os.sysconf("SC_PAGE_SIZE")
_QUARTERS = 4
_IDLE = "Trio thread "
"""How the names of threads begin that trio keeps for a few seconds, for whoever needs one next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is open in this process."""

    threads: int
    files: int

    @classmethod
    def now(cls) -> "Standing":
        """Count."""
        gc.collect()
        threads = [thread for thread in threading.enumerate() if not thread.name.startswith(_IDLE)]
        return cls(threads=len(threads), files=len(list(Path("/proc/self/fd").iterdir())))

    def beyond(self, before: "Standing") -> int:
        """Return how many more are open than before."""
        return max(0, self.threads - before.threads) + max(0, self.files - before.files)


def resident() -> int:
    """Return the bytes of memory that this process holds, with nothing in it that could be freed."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def growth(samples: list[int]) -> float:
    """Return by how many percent the median of the last quarter of the samples is above that of the second."""
    size = len(samples) // _QUARTERS
    if not size:
        return 0.0
    return 100 * (median(samples[-size:]) / median(samples[size : 2 * size]) - 1)
