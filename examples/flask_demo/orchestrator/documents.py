"""The documents that users upload, as the assistant searches them."""

from typing import Final

from assistant_kit import Documents, DocumentSearch, HashingEmbedder
from assistant_kit.documents.limits import ReadLimits
from assistant_kit.protocols.masker import Masker
from assistant_kit.protocols.search_index import SearchIndex

COLLECTION: Final = "uploads"
SHOWN: Final = 800
"""Tokens of passages that one search shows: less than a result may have."""


def make_documents(index: SearchIndex, masker: Masker, *, largest: int) -> Documents:
    """Return the documents of all users; `largest` is in bytes. Files of strangers are read for a bounded time.

    The index has pseudonyms in place of private values, as the journals have.
    """
    limits = ReadLimits(max_bytes=largest, max_characters=4_000_000, max_pages=1_000, max_seconds=20.0)
    return Documents(index, HashingEmbedder(), collection=COLLECTION, limits=limits, masker=masker)


def make_search(documents: Documents) -> DocumentSearch:
    """Return the tool that searches the documents of the user who asks."""
    return DocumentSearch(documents, scope="user", limit=4, max_tokens=SHOWN)
