"""Documents that an assistant can search and cite. Needs the extra `documents`."""

from assistant_kit.documents.chunking import Chunk, ChunkSettings, EstimatedTokens
from assistant_kit.documents.citations import Citation, Citations, UnknownLabel, citations, citations_of
from assistant_kit.documents.document import Block, Document, Location
from assistant_kit.documents.library import DocumentInfo, Documents, Ingested, Query, search_all
from assistant_kit.documents.limits import ReadLimits
from assistant_kit.documents.passages import FoundPassage
from assistant_kit.documents.reading import read_document
from assistant_kit.documents.search_tool import DocumentSearch

__all__ = [
    "Block",
    "Chunk",
    "ChunkSettings",
    "Citation",
    "Citations",
    "Document",
    "DocumentInfo",
    "DocumentSearch",
    "Documents",
    "EstimatedTokens",
    "FoundPassage",
    "Ingested",
    "Location",
    "Query",
    "ReadLimits",
    "UnknownLabel",
    "citations",
    "citations_of",
    "read_document",
    "search_all",
]
