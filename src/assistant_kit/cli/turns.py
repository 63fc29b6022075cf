"""`store recover | retry | close`: what to do about turns that are not finished."""

from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from assistant_kit.assistant import Assistant
from assistant_kit.cli.addresses import opened
from assistant_kit.cli.application import assistant_of
from assistant_kit.cli.screen import Screen
from assistant_kit.cli.unfinished import became, free
from assistant_kit.errors import ConfigurationError, ConversationNotFound, UnreadableEntry
from assistant_kit.models.rule_model import RuleModel
from assistant_kit.protocols.store import Store, Unfinished
from assistant_kit.settings import LeaseSettings, Settings

_SETTLED = ("completed", "failed", "waiting", "parked")
"""What a turn may become that is not looked at again."""


async def recover(address: str, screen: Screen, *, app: str, limit: int) -> int:
    """Finish what can be finished now, and print what became of each turn. Raises StoreError, ConfigurationError."""
    async with opened(address) as store:
        turns = await free(store, "open")
        if not turns:
            screen.line("no turn is left to recover")
            return 0
        assistant = assistant_of(app)
        await _check_same_store(assistant, turns[0].user, turns[0].conversation, address)
        async with assistant:
            counts = await _recover_all(assistant, limit)
        screen.table([await _row(store, turn) for turn in turns])
    screen.line()
    screen.line(" ".join(f"{name}={number}" for name, number in counts.items()))
    return 0


async def _row(store: Store, turn: Unfinished) -> tuple[str, ...]:
    outcome, words = await became(store, turn)
    return (outcome, turn.user, turn.conversation, words)


async def _check_same_store(assistant: Assistant[Any], user: str, conversation: str, address: str) -> None:
    try:
        with suppress(UnreadableEntry):
            await assistant.conversation(conversation, user=user).history(limit=1)
    except ConversationNotFound:
        raise ConfigurationError(
            f"the assistant keeps its conversations somewhere else than {address}: give the address of its own store"
        ) from None


async def _recover_all(assistant: Assistant[Any], limit: int) -> dict[str, int]:
    """Recover until nothing is left that is due; turns that are left for later are counted once, at the end."""
    total: Counter[str] = Counter()
    while True:
        found = asdict(await assistant.recover(limit=limit))
        total.update({name: found[name] for name in _SETTLED})
        if not any(found[name] for name in _SETTLED):
            if sum(found.values()) < limit:
                return {**found, **{name: total[name] for name in _SETTLED}}
            limit *= 2  # all that were looked at wait for something: others may stand behind them


async def retry(address: str, screen: Screen, *, app: str, user: str, conversation: str) -> int:
    """Try once more to finish a parked turn. Raises AssistantKitError with what keeps it from being finished."""
    async with opened(address) as store:
        await _check_exists(store, user, conversation)
        async with assistant_of(app) as assistant:
            await _check_same_store(assistant, user, conversation, address)
            result = await assistant.conversation(conversation, user=user).retry()
    screen.line(f"{result.status}: {result.text}")
    return 0


async def close(address: str, screen: Screen, *, user: str, conversation: str, reason: str) -> int:
    """End an unfinished turn without an answer. Raises InputError if there is none, ConversationBusy."""
    async with opened(address) as store:
        await _check_exists(store, user, conversation)
        # No model is asked for this; and who waits at a terminal wants to know at once that a worker has the turn.
        impatient = Settings(lease=LeaseSettings(wait=0.0))
        assistant = Assistant(RuleModel([]), store=store, settings=impatient)
        await assistant.conversation(conversation, user=user).close(reason=reason)
    screen.line(f"closed: {reason}")
    return 0


async def _check_exists(store: Store, user: str, conversation: str) -> None:
    """Raise ConversationNotFound: a claim of a mistyped name would make a conversation."""
    await store.for_user(user).read(conversation, limit=1)
