"""Vectors in the answer of an embeddings server: decoded, checked, and brought to length 1."""

import math
import sys
from array import array
from binascii import a2b_base64
from collections.abc import Mapping
from typing import cast

from pydantic_core import from_json

from assistant_kit.protocols.embedder import Vector

_EXACT = 1e-4
"""How far a length may be from 1 before a vector is scaled: what 32-bit floats leave of vectors that have it."""


class NoVectors(ValueError):
    """The answer does not hold the vectors that were asked for; the text says why."""


def vectors_in(body: bytes, *, texts: int, dimensions: int | None) -> list[Vector]:
    """Return the vectors of an answer in the order of the texts, each of length 1.

    They come as base64 of little-endian 32-bit floats, or as lists of numbers from servers that know no other form.
    Raises NoVectors.
    """
    entries = _entries(body)
    if len(entries) != texts:
        raise NoVectors(f"{len(entries)} vectors for {texts} texts")
    found: dict[int, Vector] = {}
    for place, entry in enumerate(entries):
        index = entry.get("index", place)
        if type(index) is not int or not 0 <= index < texts or index in found:
            raise NoVectors(f"the index {index!r} among {texts} vectors")
        found[index] = _unit(_decoded(entry.get("embedding")))
    lengths = {len(vector) for vector in found.values()}
    if len(lengths) > 1 or (dimensions is not None and lengths != {dimensions}):
        wanted = "one length" if dimensions is None else f"{dimensions} dimensions"
        raise NoVectors(f"vectors of {', '.join(map(str, sorted(lengths)))} dimensions where {wanted} was asked for")
    return [found[index] for index in range(texts)]


def _entries(body: bytes) -> list[Mapping[str, object]]:
    try:
        answer = cast("object", from_json(body))
    except ValueError as error:
        raise NoVectors("something that is not JSON") from error
    data = cast("Mapping[str, object]", answer).get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise NoVectors("an object without vectors")
    entries = cast("list[object]", data)
    if not all(isinstance(entry, dict) for entry in entries):
        raise NoVectors("a list of something else than vectors")
    return cast("list[Mapping[str, object]]", entries)


def _decoded(embedding: object) -> Vector:
    vector: Vector = array("f")
    try:
        if isinstance(embedding, str):
            vector.frombytes(a2b_base64(embedding))
            if sys.byteorder == "big":  # pragma: no cover  (no such machine here)
                vector.byteswap()
        else:
            vector.extend(cast("list[float]", embedding))
    except (ValueError, TypeError, OverflowError) as error:
        raise NoVectors("a vector that cannot be read") from error
    return vector


def _unit(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    if not 0.0 < length < math.inf:  # nor is what is not a number
        raise NoVectors("a vector without a direction: it is empty, zero, or holds what is not a number")
    return vector if abs(length - 1.0) < _EXACT else array("f", [value / length for value in vector])
