"""What is loaded when it is first used: the names of the package root, and the backends behind addresses."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from assistant_kit.errors import UnknownModel, UnknownStore

MODELS: dict[str, tuple[str, str]] = {
    "openai": ("assistant_kit.models.openai", "OpenAI"),
}
"""Providers of model strings such as `openai:gpt-5.6-luna`."""

STORES: dict[str, tuple[str, str]] = {
    "postgres:": ("assistant_kit.stores.postgres", "PostgresStore"),
    "postgresql:": ("assistant_kit.stores.postgres", "PostgresStore"),
    "sqlite:": ("assistant_kit.stores.sqlite", "SQLiteStore"),
    "redis:": ("assistant_kit.stores.redis", "RedisStore"),
    "rediss:": ("assistant_kit.stores.redis", "RedisStore"),
    "valkey:": ("assistant_kit.stores.redis", "RedisStore"),
    "valkeys:": ("assistant_kit.stores.redis", "RedisStore"),
}
"""Schemes of store addresses such as `sqlite:///chat.db`."""

STATES: dict[str, tuple[str, str]] = {
    "postgres:": ("assistant_kit.shared_states.postgres", "PostgresState"),
    "postgresql:": ("assistant_kit.shared_states.postgres", "PostgresState"),
    "sqlite:": ("assistant_kit.shared_states.sqlite", "SQLiteState"),
    "redis:": ("assistant_kit.shared_states.redis", "RedisState"),
    "rediss:": ("assistant_kit.shared_states.redis", "RedisState"),
    "valkey:": ("assistant_kit.shared_states.redis", "RedisState"),
    "valkeys:": ("assistant_kit.shared_states.redis", "RedisState"),
}
"""The same schemes, for shared states such as `redis://host:6379/0`."""

IN_MEMORY = "memory:"
MEMORY_STORE = ("assistant_kit.stores.memory", "MemoryStore")
MEMORY_STATE = ("assistant_kit.shared_states.memory", "MemoryState")
FUNCTION_TOOLS = ("assistant_kit.toolsets.functions", "FunctionTools")
OUTPUT_TYPE = ("assistant_kit.output_type", "output_type")
ASSEMBLY = ("assistant_kit.assembly", "Assembly")
CONVERSATION = ("assistant_kit.handle", "Conversation")
RECOVER = ("assistant_kit.recovery", "recover")
RECOVERING = ("assistant_kit.recovery", "recovering")
NESTED = ("assistant_kit.toolsets.nested", "NestedAssistant")
EXPORT_USER = ("assistant_kit.transfer", "export_places")
HEALTH = ("assistant_kit.resilience", "health_of")
SYNC = ("assistant_kit.sync", "sync_assistant")
CHAIN = ("assistant_kit.compactors.chain", "Chain")
CLEAR_RESULTS = ("assistant_kit.compactors.clear_results", "ClearResults")
DROP_OLDEST = ("assistant_kit.compactors.drop_oldest", "DropOldest")
READ_RESULT = ("assistant_kit.toolsets.read_result", "ReadResult")
READ_RESULT_SPEC = ("assistant_kit.toolsets.read_result", "SPEC")
TOOL_SELECTOR = ("assistant_kit.tool_selectors.keyword", "KeywordSelector")
UPPER_BOUND = ("assistant_kit.token_counters.upper_bound", "UpperBound")
BACKGROUND_COUNTER = ("assistant_kit.token_counters.background", "BackgroundCounter")

CHILD = "assistant_kit:"
"""Names of conversations that are the library's own begin with this; lists of conversations leave them out."""


def is_hidden(conversation: str) -> bool:
    """Tell whether a conversation is the library's own: a nested assistant's, or the whole text of a long result."""
    return conversation.startswith(CHILD)


def load(place: tuple[str, str]) -> Any:
    """Return the object of a module, by (module, name); the module is imported when it was not yet."""
    module, name = place
    return getattr(import_module(module), name)


def make_model(address: str) -> Any:
    """Return the model that `provider:name` stands for. Raises UnknownModel."""
    provider, separator, name = address.partition(":")
    if provider not in MODELS or not separator or not name.strip():
        raise UnknownModel(address, tuple(MODELS))
    return load(MODELS[provider])(name.strip())


def make_store(address: str) -> Any:
    """Return the store that an address stands for; nothing is opened yet. Raises UnknownStore."""
    return make_at(address, STORES, MEMORY_STORE)


def make_state(address: str) -> Any:
    """Return the shared state that an address stands for; nothing is opened yet. Raises UnknownStore."""
    return make_at(address, STATES, MEMORY_STATE)


def make_at(address: str, places: Mapping[str, tuple[str, str]], in_memory: tuple[str, str]) -> Any:
    """Return what an address stands for among `places`, by the beginning of addresses. Raises UnknownStore."""
    if address == IN_MEMORY:
        return load(in_memory)()
    for scheme, place in places.items():
        if address.startswith(scheme):
            return load(place).from_address(address)
    raise UnknownStore(address, (IN_MEMORY, *places))
