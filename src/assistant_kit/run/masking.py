"""What masks the texts that come into the runs of a user, and restores those that leave them."""

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from traceback import format_exception
from typing import Any, Final, TypeAlias, TypeVar, cast

from pydantic_core import to_jsonable_python

from assistant_kit.errors import InputError
from assistant_kit.json_masking import (
    Replace,
    at_once,
    is_deep,
    replaced_in_json,
    replaced_in_json_text,
)
from assistant_kit.messages import JsonObject, Part, UserMessage
from assistant_kit.protocols.masker import Masker, Origin, TextStream, UserMasker
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.result import CallResult, Result
from assistant_kit.run.text_replacing import (
    replaced_call,
    replaced_output,
    replaced_parts,
    replaced_result,
    replaced_turn,
)

T = TypeVar("T")
Redact: TypeAlias = Callable[[str], str]
"""Takes private values out of a text for good, for logs."""

_PSEUDONYM: Final = re.compile(r"<[A-Z][A-Z0-9_]*_[1-9][0-9]*>")
_FENCED: Final = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class Masks:
    """Masks and restores the texts of one user's runs. Each method that waits raises StoreError."""

    __slots__ = ("_given_values", "_plain", "_user", "redact")

    def __init__(self, masker: Masker, user: str | None, *, given_values: Collection[str], plain: bool) -> None:
        """Mask by `masker`. `given_values` are the tools that get values; `plain`: the output of a run is text.

        Raises InputError without a user.
        """
        if user is None:
            raise InputError("this assistant masks private data, so a run needs user=: pseudonyms belong to a user")
        self._user: UserMasker = masker.for_user(user)
        self._given_values = given_values
        self._plain = plain
        self.redact: Redact = masker.redact

    async def said(self, message: UserMessage) -> UserMessage:
        """Mask what the user says."""
        return replace(message, content=await self.outside(message.content))

    async def words(self, text: str) -> str:
        """Mask a text from outside."""
        (masked,) = await self._user.mask([text])
        return masked

    async def outside(self, content: Sequence[Part]) -> tuple[Part, ...]:
        """Mask what comes from outside."""
        return await self._masked(lambda change: replaced_parts(content, change))

    async def answered(self, content: Sequence[Part], arguments: str) -> tuple[Part, ...]:
        """Mask what a tool answers. Of pseudonyms it may repeat those that stand in its `arguments`, and no others."""
        named = frozenset(_PSEUDONYM.findall(arguments))
        if not named:
            return await self.outside(content)
        foreign: set[str] = set()

        def look(text: str) -> str:
            foreign.update(found for found in _PSEUDONYM.findall(text) if found not in named)
            return text

        replaced_parts(content, look)
        lookalikes = sorted(foreign)
        masked = dict(zip(lookalikes, await self._user.mask(lookalikes), strict=True))
        own = replaced_parts(content, lambda text: _PSEUDONYM.sub(lambda m: masked.get(m[0], m[0]), text))
        return await self.kept(own)

    async def kept(self, content: Sequence[Part]) -> tuple[Part, ...]:
        """Mask content in which pseudonyms stand for values, and stay."""
        return await self._masked(lambda change: replaced_parts(content, change), origin="model")

    async def written(self, response: ModelResponse) -> ModelResponse:
        """Mask what a model has written."""
        items = await self._masked(lambda change: replaced_output(response.items, change), origin="model")
        return replace(response, items=items)

    async def from_model(self, texts: Sequence[str]) -> Sequence[str]:
        """Mask texts that a model has written."""
        return await self._user.mask(texts, origin="model") if texts else ()

    def gives_values(self, tool: str) -> bool:
        """Tell whether a tool gets values in its arguments, and not pseudonyms."""
        return tool in self._given_values

    async def values(self, texts: Sequence[str]) -> Sequence[str]:
        """Restore texts."""
        return await self._user.restore(texts) if texts else ()

    async def object(self, value: JsonObject) -> JsonObject:
        """Restore a JSON object; one of very many levels stays as it is."""
        if is_deep(value):
            return value
        return cast("JsonObject", await self._restored(lambda change: replaced_in_json(value, change)))

    async def answer(self, text: str) -> str:
        """Restore a structured answer, so that it stays the JSON it is."""
        bare = _FENCED.sub(r"\1", text)
        return await self._restored(lambda change: replaced_in_json_text(bare, change))

    async def content(self, content: Sequence[Part]) -> tuple[Part, ...]:
        """Restore content."""
        return await self._restored(lambda change: replaced_parts(content, change))

    async def output(self, output: Any) -> Any:
        """Restore what a run returns, if it is text; a value of another type was made of restored text."""
        return (await self._user.restore([output]))[0] if self._plain and output is not None else output

    async def kept_output(self, output: Any) -> Any:
        """Return what a run returns as it may be kept: masked text, or masked JSON of a value."""
        if self._plain or output is None:
            return output
        return await self._masked(lambda change: replaced_in_json(to_jsonable_python(output, fallback=str), change))

    async def result(self, result: Result[Any]) -> Result[Any]:
        """Restore the result of a run."""
        return await self._restored(partial(replaced_result, result, plain=self._plain))

    async def turns(self, turns: Sequence[HistoryTurn]) -> Sequence[HistoryTurn]:
        """Restore turns of a conversation."""
        return await self._restored(lambda change: tuple(replaced_turn(turn, change) for turn in turns))

    async def calls(self, calls: Sequence[tuple[str, CallResult]]) -> Sequence[tuple[str, CallResult]]:
        """Restore calls, each with its name."""
        return await self._restored(lambda change: tuple((name, replaced_call(call, change)) for name, call in calls))

    def mask_stream(self) -> TextStream:
        """Return what masks one text in pieces that a model writes."""
        return self._user.mask_stream()

    def restore_stream(self) -> TextStream:
        """Return what restores one text in pieces."""
        return self._user.restore_stream()

    async def _masked(self, replaced: Callable[[Replace], T], *, origin: Origin = "outside") -> T:
        async def mask(texts: Sequence[str]) -> Sequence[str]:
            return await self._user.mask(texts, origin=origin)

        return await at_once(mask, replaced)

    async def _restored(self, replaced: Callable[[Replace], T]) -> T:
        return await at_once(self._user.restore, replaced)


async def masked_input(masks: Masks | None, said: UserMessage) -> UserMessage:
    """Return what the user says as it is stored. Raises StoreError."""
    return said if masks is None else await masks.said(said)


async def told(masks: Masks | None, run: Awaitable[Result[Any]]) -> Result[Any]:
    """Return the result of a run as the application reads it. Raises StoreError, and what the run raises."""
    result = await run
    return result if masks is None else await masks.result(result)


def log_failure(
    log: logging.Logger, error: Exception, masks: Masks | Masker | None, words: str, *about: object
) -> None:
    """Log an exception with its trace; where texts are masked, without the private values that they may quote."""
    if masks is None:
        log.error(words, *about, exc_info=error)
    else:
        log.error("%s\n%s", words % about, masks.redact("".join(format_exception(error))))
