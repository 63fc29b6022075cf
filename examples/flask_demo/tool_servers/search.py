"""Search in the handbook: documents for everybody, in a search index."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from assistant_kit import Documents, DocumentSearch, HashingEmbedder
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.tool_spec import ToolSpec

HANDBOOK: Final = Path(__file__).with_name("handbook")
_MOST: Final = 1_000  # files
_SHOWN: Final = 800
"""Tokens of passages that one search shows: less than a result may have."""


class HandbookSearch(DocumentSearch):
    """The tool, told apart from the search in what users upload."""

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the one tool."""
        about = "Search the handbook of this assistant: how to use it, what it keeps, what it may do. "
        return [replace(spec, description=about + spec.description) for spec in await super().tools()]


class Handbook:
    """The files of a folder, in an index."""

    def __init__(self, index: SearchIndex, folder: Path = HANDBOOK) -> None:
        """Take an index, which is closed by `close`, and a folder of Markdown files."""
        self._index = index
        self._folder = folder
        self.documents: Documents = Documents(index, HashingEmbedder(), collection="handbook")

    def search(self) -> HandbookSearch:
        """Return the toolset."""
        return HandbookSearch(self.documents, name="search_handbook", limit=4, max_tokens=_SHOWN)

    async def open(self) -> None:
        """Bring the index up to date: what stands there already is not embedded again. Raises StoreError."""
        files = sorted(self._folder.glob("*.md"))
        for file in files:
            await self.documents.add(file.name, file)
        for kept in await self.documents.sources(limit=_MOST):
            if kept.source not in {file.name for file in files}:
                await self.documents.remove(kept.source)

    async def ping(self) -> None:
        """See that the index answers. Raises StoreError."""
        await self.documents.sources(limit=1)

    async def close(self) -> None:
        """Close the index."""
        await self._index.aclose()
