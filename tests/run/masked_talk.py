"""A masked assistant that is talked with."""

from collections.abc import Sequence
from typing import Any

from assistant_kit import Assistant, Context
from assistant_kit.journal_reader import JournalReader
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import Pattern, RuleMasker, standard
from assistant_kit.messages import (
    ToolAnswer,
    UserMessage,
    text_of,
)
from assistant_kit.protocols.masker import Vault
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import ScriptedModel, Step
from assistant_kit.token_counters.upper_bound import UpperBound

BOB, CARL, EVE, CARD = "bob@example.org", "carl@example.org", "eve@example.net", "4111 1111 1111 1111"
PRIVATE = (BOB, CARL, EVE, CARD)


class Talk:
    """A masked assistant in memory, of one conversation."""

    def __init__(self, *steps: Step, vault: Vault | None = None, store: Any = None, **more: Any) -> None:
        self.store = MemoryStore()
        self.model = ScriptedModel(steps)
        self.masker = RuleMasker(vault or MemoryVault(), [*standard(), Pattern("NAME", found_name, within="line")])
        context: dict[str, Any] = {"token_counter": UpperBound(), **more.pop("context", {})}
        self.assistant: Assistant[Any] = Assistant(
            self.model, store=store or self.store, context=Context(masker=self.masker, **context), **more
        )
        self.chat = self.assistant.conversation("c", user="ann")

    async def entries(self, kind: type[Any]) -> list[Any]:
        measured = await JournalReader(self.store.for_user("ann"), "c").read()
        return [one.entry for one in measured if isinstance(one.entry, kind)]

    async def assert_no_leak(self) -> None:
        entries = await JournalReader(self.store.for_user("ann"), "c").read()
        assert_no_leak([repr(entries), repr(self.model.requests)], PRIVATE)


def found_name(text: str) -> Sequence[tuple[int, int]]:
    found = text.find("Ann")
    return [(found, found + len("Ann"))] if found >= 0 else []


def said(request: ModelRequest) -> str:
    return [text_of(item.content) for item in request.items if isinstance(item, UserMessage)][-1]


def last_answer(request: ModelRequest) -> str:
    return [text_of(item.content) for item in request.items if isinstance(item, ToolAnswer)][-1]
