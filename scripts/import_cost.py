"""Measure what importing costs; scripts/import-cost says how."""

import subprocess
import sys
from statistics import median

STATEMENTS = {
    "assistant": "from assistant_kit import Assistant",
    "openai": "import openai",
    "openai_without_aiohttp": "import sys; sys.modules['aiohttp'] = None; import openai",
}
RUNS = 7


def seconds(statement: str) -> float:
    """CPU seconds of a statement in a fresh process, without the start of the interpreter."""
    program = f"from time import process_time as now\nstart = now()\n{statement}\nprint(now() - start)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  (this interpreter, the programs above)
    return float(done.stdout)


def main() -> None:
    """Measure in turn, so that a busy moment hits all alike, and print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    figures: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(runs + 1):
        for name, statement in STATEMENTS.items():
            figures[name].append(seconds(statement))
    # The first of each may have to compile.
    medians = {name: median(times[1:]) for name, times in figures.items()}
    shown = " ".join(f"{name}_seconds={value:.3f}" for name, value in medians.items())
    print(f"{shown} import_ratio={medians['assistant'] / medians['openai']:.3f}")


if __name__ == "__main__":
    main()
