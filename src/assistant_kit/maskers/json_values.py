"""Masks and restores the texts in a JSON value, such as the arguments of a tool call.

Values are looked for in each text by itself, never in the JSON text: what is put back may hold a quote or a newline.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from assistant_kit.messages import Json
from assistant_kit.protocols.masker import Origin, UserMasker


async def mask_json(masker: UserMasker, value: Json, *, origin: Origin = "outside") -> Json:
    """Return the value with pseudonyms in its texts and names of properties; nothing else changes.

    A number that is private, such as that of a card, becomes a text, and is restored as a text. Raises StoreError.
    """
    masked = await masker.mask(list(_texts(value)), origin=origin)
    return _rebuilt(value, iter(masked))


async def restore_json(masker: UserMasker, value: Json) -> Json:
    """Return the value with private values in place of the pseudonyms in it. Raises StoreError."""
    restored = await masker.restore(list(_texts(value)))
    return _rebuilt(value, iter(restored))


def _texts(value: Json) -> Iterator[str]:
    """Return all texts in a value, and its numbers as text, in a fixed order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)
    elif _is_number(value):
        yield repr(value)


def _rebuilt(value: Json, texts: Iterator[str]) -> Json:
    """Return the value with the next of `texts` in place of each of its own."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, Mapping):
        return {next(texts): _rebuilt(inner, texts) for inner in cast("Mapping[str, Json]", value).values()}
    if isinstance(value, Sequence):
        return [_rebuilt(inner, texts) for inner in value]
    if _is_number(value):
        text = next(texts)
        return value if text == repr(value) else text
    return value


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
