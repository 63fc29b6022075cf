"""A model that tries harder before it gives up: with the spelling put right, or as the answer to its own question."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from assistant_kit.events import Delta
from assistant_kit.messages import AssistantMessage, Item, Text, UserMessage, text_of
from assistant_kit.protocols.model import Emit, Model, ModelRequest, ModelResponse
from examples.todo_chatbot.spelling import Slip, respelled
from examples.todo_chatbot.task_changes import NOTHING_TO_CORRECT, WHAT_TO_ADD

_LONGEST = 300  # characters of a message that is read again
_USUAL: frozenset[Slip] = frozenset({"swapped", "left out", "too many"})
_SLIPS: Sequence[frozenset[Slip]] = (_USUAL, frozenset({*_USUAL, "other"}))
_AROUND = re.compile(r"\AI (?:mean|meant|want) |[,;]? (?:please|pls|plz|thanks|thank you|thx)\Z", re.IGNORECASE)
_FITS = re.compile(r'Several tasks fit "(?P<query>[^"]*)":')
_ASKED = re.compile(
    r"(?:Which (?:one|task) shall I (?P<action>delete|complete|rename|describe|move)(?: (?:to|as) (?P<rest>.+))?"
    r'|What shall I call "(?P<title>[^"]*)")\?'
)
_NOTHING = ("no", "nope", "none", "neither", "nothing")
_COMMANDS = {
    "delete": "delete {what}",
    "complete": "complete {what}",
    "rename": "rename {what} to {rest}",
    "describe": "describe {what} as {rest}",
    "move": "move {what} to {rest}",
}


class CarefulReader:
    """Hands messages on to a model, and those that it does not understand once more in other words.

    The first reading that is understood counts, so what is understood as it stands is never changed.
    """

    def __init__(self, model: Model, *, not_understood: str, vocabulary: frozenset[str]) -> None:
        """Take the model, the text by which it says that it does not understand, and the words of its commands."""
        self._model = model
        self._not_understood = not_understood
        self._vocabulary = vocabulary

    @property
    def name(self) -> str:
        """The name in journals, events and errors."""
        return self._model.name

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer as the model does, to the first reading that it understands. Raises ModelError."""
        response, deltas = await self._tried(request)
        if self._is_lost(response):
            for reading in self._readings(request):
                again, more = await self._tried(reading)
                if not self._is_lost(again):
                    response, deltas = again, more
                    break
        for delta in deltas:
            emit(delta)
        return response

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()

    async def _tried(self, request: ModelRequest) -> tuple[ModelResponse, Sequence[Delta]]:
        deltas: list[Delta] = []
        return await self._model.respond(request, deltas.append), deltas

    def _is_lost(self, response: ModelResponse) -> bool:
        return response.text in (self._not_understood, NOTHING_TO_CORRECT)

    def _readings(self, request: ModelRequest) -> Iterator[ModelRequest]:
        """Return the request with the user's message in other words."""
        items = request.items
        place = max((place for place, item in enumerate(items) if isinstance(item, UserMessage)), default=None)
        if place is None:
            return
        message = items[place]
        text = text_of(message.content) if isinstance(message, UserMessage) else ""
        if len(text) > _LONGEST:
            return
        asked = _last_answer(items[:place])
        for spelled in dict.fromkeys([text, *(respelled(text, self._vocabulary, slips) for slips in _SLIPS)]):
            for reading in (spelled, *_as_reply(spelled, asked)):
                if reading != text:
                    changed = (*items[:place], UserMessage(content=(Text(text=reading),)), *items[place + 1 :])
                    yield replace(request, items=changed)


def _last_answer(items: Sequence[Item]) -> str:
    return next((item.text for item in reversed(items) if isinstance(item, AssistantMessage)), "")


def _as_reply(text: str, asked: str) -> Iterator[str]:
    """Read a text as the answer to a question that was asked before, as the command that it stands for."""
    reply = _AROUND.sub("", text.strip().strip(".!?").strip())
    if not reply or '"' in reply:
        return
    if reply.casefold() in _NOTHING:
        yield "never mind"
        return
    last = asked.strip().rsplit("\n", 1)[-1]
    if last.endswith(WHAT_TO_ADD):
        yield f"add {reply}"
    question = _ASKED.search(last)
    if question is None:
        return
    if question["title"] is not None:
        yield f'rename "{question["title"]}" to {reply}'
        return
    fits = _FITS.search(asked)
    what = f'{reply} among those like "{fits["query"]}"' if fits else reply
    yield _COMMANDS[question["action"]].format(what=what, rest=question["rest"])
