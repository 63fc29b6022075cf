"""The tools: one that may be called again and one that may not, each failing as the plan has it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from assistant_kit.errors import ToolError
from assistant_kit.toolsets.functions import tool
from tests.soak.plan import Plan
from tests.soak.tally import Tally


@dataclass(slots=True, kw_only=True)
class Tools:
    """Counts how often each tool has run for each turn, until the conversation is over."""

    plan: Plan
    tally: Tally
    ran: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])

    def functions(self) -> list[Callable[..., Any]]:
        """Return the tools."""

        @tool(effect="read")
        def look(ref: str) -> str:
            """Look at what there is, in a thread."""
            self._note("look", ref)
            if self.plan.tool_fault("look", ref) is not None:
                raise ToolError("there is nothing to be seen")
            return "It is there."

        @tool
        async def pay(ref: str) -> str:
            """Pay for it, once."""
            self._note("pay", ref)
            return await self._paid(ref)

        return [look, pay]

    def forget(self, ref: str) -> Counter[str]:
        """Return what has run for a turn, and forget it."""
        return self.ran.pop(ref, Counter())

    def _note(self, name: str, ref: str) -> None:
        self.ran.setdefault(ref, Counter())[name] += 1
        self.tally.tool_faults += self.plan.tool_fault(name, ref) is not None

    async def _paid(self, ref: str) -> str:
        match self.plan.tool_fault("pay", ref):
            case "error for the model":
                raise ToolError("the card was refused")
            case "exception":
                raise ZeroDivisionError
            case "silence":
                await anyio.sleep_forever()
            case "no JSON at all":
                return "\ud800"
            case None:
                pass
        return "It is paid."
