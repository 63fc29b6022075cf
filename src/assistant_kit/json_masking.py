"""Masks and restores the texts in a JSON value, such as the arguments of a tool call.

Values are looked for in each text by itself, never in the JSON text: what is put back may hold a quote or a newline.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, cast

from assistant_kit.messages import Json, JsonObject
from assistant_kit.protocols.masker import Origin, UserMasker

T = TypeVar("T")
Replace: TypeAlias = Callable[[str], str]
"""What a text is replaced by."""
Change: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""Masks or restores texts, in their order."""

_DEEPEST: Final = 100
"""Levels of JSON text that are looked at one by one; what is deeper is one text."""


async def mask_json(masker: UserMasker, value: Json, *, origin: Origin = "outside") -> Json:
    """Return the value with pseudonyms in its texts and names of properties; nothing else changes.

    A number that is private, such as that of a card, becomes a text, and is restored as a text. Raises StoreError.
    """

    async def mask(texts: Sequence[str]) -> Sequence[str]:
        return await masker.mask(texts, origin=origin)

    return await at_once(mask, lambda replace: replaced_in_json(value, replace))


async def restore_json(masker: UserMasker, value: Json) -> Json:
    """Return the value with private values in place of the pseudonyms in it. Raises StoreError."""
    return await at_once(masker.restore, lambda replace: replaced_in_json(value, replace))


async def at_once(change: Change, replaced: Callable[[Replace], T]) -> T:
    """Return what `replaced` makes with a function for each text; all its texts are changed in one call.

    It is called twice, and has to ask for the same texts in the same order. Raises what `change` does.
    """
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    replaced(collect)
    changed = iter(await change(texts))
    return replaced(lambda _: next(changed))


def replaced_in_json(value: Json, replace: Replace) -> Json:
    """Return the value with each of its texts replaced, and each number whose text is."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Json]", value).items()
        return {replace(name): replaced_in_json(inner, replace) for name, inner in items}
    if isinstance(value, Sequence):
        return [replaced_in_json(inner, replace) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    written = repr(value)
    text = replace(written)
    return value if text == written else text


@dataclass(frozen=True, slots=True)
class _Parsed:
    """JSON text. `whole` tells that no property was given twice: then its value has all of it."""

    text: str
    value: Json
    whole: bool

    def replaced(self, replace: Replace) -> str:
        """Return it with the texts in it replaced; what is very deep as one text."""
        if is_deep(self.value):
            return replace(self.text)
        changed = replaced_in_json(self.value, replace)
        if self.whole and changed == self.value:
            return self.text
        return json.dumps(changed, ensure_ascii=False, separators=(",", ":"))


def _parsed(text: str) -> _Parsed | None:
    """Return what JSON text says; None for what is none."""
    whole = True

    def properties(pairs: list[tuple[str, Json]]) -> JsonObject:
        nonlocal whole
        named = dict(pairs)
        whole = whole and len(named) == len(pairs)
        return named

    try:
        value: Json = json.loads(text, object_pairs_hook=properties)
    except (ValueError, RecursionError):
        return None
    return _Parsed(text, value, whole)


def replaced_in_json_text(text: str, replace: Replace) -> str:
    """Return JSON text with the texts in it replaced; what is no JSON, or very deep, is replaced as one text.

    Where nothing is replaced it stays as it was written. Of properties of one name the last one counts.
    """
    parsed = _parsed(text)
    return replace(text) if parsed is None else parsed.replaced(replace)


def replaced_in_json_lines(text: str, replace: Replace) -> str:
    """Return a text replaced: JSON text, or lines of JSON objects, by the texts in it, and any other as one text."""
    if not text.lstrip().startswith(("{", "[")):
        return replace(text)
    parsed = _parsed(text)
    if parsed is not None:
        return parsed.replaced(replace)
    lines: list[_Parsed] = []
    for line in text.split("\n"):
        parsed = _parsed(line)
        if parsed is None or not isinstance(parsed.value, dict):
            return replace(text)
        lines.append(parsed)
    return "\n".join(line.replaced(replace) for line in lines)


def is_deep(value: Json, levels: int = _DEEPEST) -> bool:
    """Tell whether a value has so many levels that it is not looked into."""
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        return False
    inner = cast("Mapping[str, Json]", value).values() if isinstance(value, Mapping) else value
    return levels == 0 or any(is_deep(one, levels - 1) for one in inner)
