"""Where passages are kept and found again: one place a file or folder.

A backend's module is loaded when its address is used.
"""

from collections.abc import Mapping
from typing import Final

from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.registry import make_at

_POSTGRES: Final = ("assistant_kit.indexes.postgres", "PostgresIndex")
_QDRANT: Final = ("assistant_kit.indexes.qdrant", "QdrantIndex")
_WEAVIATE: Final = ("assistant_kit.indexes.weaviate", "WeaviateIndex")
_PINECONE: Final = ("assistant_kit.indexes.pinecone", "PineconeIndex")
PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "sqlite:": ("assistant_kit.indexes.sqlite", "SQLiteIndex"),
    "postgres:": _POSTGRES,
    "postgresql:": _POSTGRES,
    "qdrant:": _QDRANT,
    "qdrants:": _QDRANT,
    "weaviate:": _WEAVIATE,
    "weaviates:": _WEAVIATE,
    "pinecone:": _PINECONE,
    "pinecone+http:": _PINECONE,
}
"""Schemes of addresses such as `qdrant://host:6333/collection`."""

_MEMORY: Final = ("assistant_kit.indexes.memory", "MemoryIndex")


def make_search_index(address: str) -> SearchIndex:
    """Return the index that an address stands for; docs/search-indexes.md has their forms.

    Nothing is opened yet: a server is connected with the first use, and left by `aclose`. Raises UnknownStore,
    ConfigurationError, MissingDependency.
    """
    return make_at(address, PLACES, _MEMORY)
