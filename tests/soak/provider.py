"""The provider, in a process of its own: prints its address, serves until its input is closed, prints its figures."""

import argparse
import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.openai_server import (
    Answer,
    Behaviour,
    BrokenJson,
    Call,
    Cut,
    ErrorEvent,
    Hang,
    NoTerminal,
    OpenAIServer,
    Raw,
    Reply,
    Request,
    Status,
)
from tests.openai_server.__main__ import run
from tests.soak.plan import ModelFault, Plan, answer_to

_REF = re.compile(r"turn (\d+)\.(\d+)\.(\d+)\b")
_HANG = 60.0
_EVENTS = 12
"""Events of the shortest answer, roughly: a stream that breaks off does so among them."""


@dataclass(slots=True)
class Provider:
    """Answers requests as a plan has it: the script of a test server. It keeps only the newest turn of each person."""

    plan: Plan
    server: OpenAIServer | None = None
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    _attempts: dict[str, tuple[str, Counter[tuple[str, int]]]] = field(
        default_factory=dict[str, tuple[str, Counter[tuple[str, int]]]]
    )

    def __call__(self, request: Request) -> Reply:
        """Answer a request by what the user said last."""
        assert self.server is not None
        self.server.requests.clear()  # they would fill the memory
        self.requests += 1
        said = list(_REF.finditer(request.raw.decode()))[-1]
        ref, step, model = said[0].removeprefix("turn "), _step(request), str(request.body["model"])
        kept = self._attempts.get(said[1])
        if kept is None or kept[0] != ref:
            kept = self._attempts[said[1]] = ref, Counter()
        kept[1][model, step] += 1
        fault = self.plan.model_fault(model, ref, step, kept[1][model, step])
        answer = self._answer(model, ref, step)
        if fault is None:
            return answer
        self.faults[fault] += 1
        after = 1 + int(self.plan.chance("after", model, ref, step) * _EVENTS)
        return failing(fault, answer, after)

    def _answer(self, model: str, ref: str, step: int) -> Answer:
        tools = self.plan.tools(ref)
        if step == 1 and tools:
            calls = tuple(Call(name, {"ref": ref}) for name in tools)
            return Answer(f"I ask {' and '.join(tools)}, says the {model} model.", calls, reasoning="Tools first.")
        return Answer(answer_to(ref), pieces=5)


def failing(fault: ModelFault, answer: Answer, after: int) -> Reply:
    """Return a reply that goes wrong, a stream of them after so many events."""
    replies: dict[ModelFault, Reply] = {
        "429": Status(429),
        "429 with Retry-After": Status(429, headers={"retry-after": "0.2"}),
        "500": Status(500),
        "503": Status(503),
        "503 with Retry-After": Status(503, headers={"retry-after": "0.2"}),
        "no word": Raw(b""),
        "silence": Hang(_HANG),
        "cut": Cut(after, answer),
        "silence in mid-stream": Hang(_HANG, after, answer),
        "error event": ErrorEvent(after_events=after, answer=answer),
        "overloaded in mid-stream": ErrorEvent("server_is_overloaded", after_events=after, answer=answer),
        "broken JSON": BrokenJson(after, answer),
        "early end": NoTerminal(answer),
        "no JSON at all": Status(200, "<html>nginx</html>"),
    }
    return replies[fault]


def _step(request: Request) -> int:
    """Return 2 when tools have answered since the user spoke."""
    items: list[dict[str, Any]] = request.body["input" if request.route == "responses" else "messages"]
    user = max(index for index, item in enumerate(items) if item.get("role") == "user")
    return 2 if any(_is_result(item) for item in items[user:]) else 1


def _is_result(item: dict[str, Any]) -> bool:
    return item.get("role") == "tool" or item.get("type") == "function_call_output"


def main() -> None:
    """Serve as the plan of these arguments has it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.provider", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=float, default=0.05)
    given = parser.parse_args()
    provider = Provider(Plan(seed=given.seed, rate=given.faults))
    provider.server = OpenAIServer(Behaviour(), script=provider)
    asyncio.run(run(provider.server))
    say = partial(print, flush=True)
    say(f"requests={provider.requests} faults={provider.faults.total()} raised={len(provider.server.faults)}")


if __name__ == "__main__":
    main()
