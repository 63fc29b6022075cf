"""Play the scenarios and print a table; `scripts/scenarios --help` says how."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from assistant_kit import OpenAIChat, WindowSettings
from assistant_kit.protocols.model import Model
from examples.todo_chatbot.rules import todo_model
from examples.todo_chatbot.scenarios.judge import Verdict, judged
from examples.todo_chatbot.scenarios.scenario import Scenario, read_scenarios
from examples.todo_chatbot.scenarios.share import RECORD, Share
from examples.todo_chatbot.scenarios.table import figures, table
from examples.todo_chatbot.scenarios.world import opened

_OUTPUT = 8  # the part of a small context window that is kept for the answer


async def played(
    model: Model, scenarios: Sequence[Scenario], *, window: int | None = None, verbose: bool = False
) -> Sequence[Verdict]:
    """Play scenarios one after the other; what is wrong is told as it comes. Closes the model."""
    size = WindowSettings() if window is None else WindowSettings(max_tokens=window, reserved_output=window // _OUTPUT)
    verdicts: list[Verdict] = []
    try:
        with TemporaryDirectory() as folder:
            async with opened(model, Path(folder), window=size) as world:
                for scenario in scenarios:
                    verdicts.append(judged(await world.play(scenario)))
                    if verbose or not verdicts[-1].is_right:
                        _tell(verdicts[-1])
    finally:
        await model.aclose()
    return verdicts


def _tell(verdict: Verdict) -> None:
    print(f"-- {verdict.played.scenario.name}: {'right' if verdict.is_right else 'WRONG'}")
    for turn in verdict.played.turns:
        print(f"   > {turn.said[:200]!r}\n   {turn.answer[:600]!r}")
    for fault, text in verdict.faults.items():
        print(f"   {fault}: {text[:600]}")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Play what is asked for. Returns 1 when the rule-based model gets something wrong that it got right."""
    options = _options(arguments)
    scenarios = [scenario for scenario in read_scenarios() if options.only in scenario.name]
    if not scenarios:
        print(f"error: no scenario has {options.only!r} in its name")
        return 2
    model: Model = todo_model()
    if options.model is not None:
        key = os.environ.get(options.api_key_env) or "none"
        model = OpenAIChat(options.model, base_url=options.base_url, api_key=key)
    verdicts = anyio.run(partial(played, model, scenarios, window=options.window, verbose=options.verbose))
    print(f"\n{table(verdicts)}\n")
    worse = () if options.model is not None else compared(verdicts, record=options.record and not options.only)
    print(figures(verdicts))
    return 1 if worse else 0


def compared(verdicts: Sequence[Verdict], *, record: bool, path: Path = RECORD) -> Sequence[str]:
    """Tell what became worse since it was recorded, and `record` what there is when nothing did."""
    share = Share.of(verdicts)
    worse = share.worse_than(Share.read(path))
    for name in worse:
        print(f"was right before: {name}")
    if record and not worse:
        share.write(path)
    return worse


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/scenarios", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios that have it in their name: 'typos 3'")
    parser.add_argument("--verbose", action="store_true", help="show those that are right as well")
    parser.add_argument("--record", action="store_true", help="keep what the rule-based model gets right now")
    parser.add_argument("--base-url", metavar="URL", help="a server with the Chat Completions API")
    parser.add_argument("--model", metavar="NAME", help="ask this model instead of the rule-based one")
    parser.add_argument("--api-key-env", default="OPENAI_API_KEY", metavar="VARIABLE", help="where its key is")
    parser.add_argument("--window", type=int, metavar="TOKENS", help="its context window (default: 128000)")
    options = parser.parse_args(arguments)
    if options.base_url and not options.model:
        parser.error("--base-url needs --model: the name of a model that the server has")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
