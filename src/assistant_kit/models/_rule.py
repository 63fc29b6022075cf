"""What a rule is: patterns of sentences, and what to do with a sentence that matches."""

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeAlias, cast

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import Json, JsonObject, Outcome
from assistant_kit.models._rule_sentence import STOPS, Pattern, Slots, fields, fill, pattern_of
from assistant_kit.protocols.model import ModelRequest

_FAILURES: Mapping[Outcome, str] = {
    "error": "That did not work: {result}",
    "unknown": "Nobody can tell whether that took effect: {result}",
    "cancelled": "That was not done: {result}",
    "denied": "That was not done: {result}",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A tool call that a rule wants."""

    tool: str
    arguments: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a tool call, in words (`text`)."""

    tool: str = ""
    arguments: JsonObject = field(default_factory=dict[str, Json])
    outcome: Outcome = "ok"
    text: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the call did what it should."""
        return self.outcome == "ok"

    @property
    def data(self) -> Any:
        """The JSON value in the text; None when it is not JSON."""
        return parsed_json(self.text)

    @property
    def record(self) -> Mapping[str, Any]:
        """The JSON object in the text; empty when it is anything else."""
        data = self.data
        return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A clause that a rule matches.

    `slots` is what its slots took, `earlier` holds the results of calls that were made before in this conversation
    (as far as the request reaches back), the newest last.
    """

    clause: str
    slots: Slots
    earlier: Sequence[Result]
    request: ModelRequest

    def text(self, slot: str) -> str:
        """Return a slot as text, empty when the clause has nothing for it."""
        return str(self.slots.get(slot, ""))


Answer: TypeAlias = str | JsonObject
"""What a rule says: text, or a JSON object where structured output is asked for."""

Steps: TypeAlias = Generator[Ask, Result, Answer]

Reply: TypeAlias = str | Callable[[Match, Result], Answer]
"""A template that may name slots (`{title}`), the result's text (`{result}`) or its JSON (`{result.title}`); or a
function. A rule without a tool has an empty result."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with clauses that match one of `patterns`: templates, or compiled regular expressions.

    Templates: words; `{slot}`, `{slot:word}`, `{slot:int}`; `[may be missing]`; `(one|or another)`. Upper and lower
    case are the same, and a pattern has to match the clause as a whole.

    Either `tool` is called with `arguments` (default: the slots; texts in a mapping may name slots) and `answer` or,
    when that fails, `failure` says what came of it; or only `answer` is given; or `steps` does it all. `example` is
    what the fallback suggests. Raises ConfigurationError for anything else.
    """

    patterns: str | re.Pattern[str] | Sequence[str | re.Pattern[str]]
    _: KW_ONLY
    tool: str | None = None
    arguments: JsonObject | Callable[[Match], JsonObject] | None = None
    answer: Reply | None = None
    failure: Reply | None = None
    steps: Callable[[Match], Steps] | None = None
    example: str | None = None
    _compiled: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sources = (self.patterns,) if isinstance(self.patterns, str | re.Pattern) else self.patterns
        object.__setattr__(self, "_compiled", tuple(pattern_of(source) for source in sources))
        if not self._compiled:
            raise self._error("has no pattern")
        if self.steps and (self.tool or self.arguments or self.answer or self.failure):
            raise self._error("has steps, so tool, arguments, answer and failure have no use")
        if not (self.steps or self.tool or self.answer):
            raise self._error("does nothing: give it a tool, an answer or steps")
        names = frozenset[str]().union(*(pattern.names for pattern in self._compiled))
        for name in self._named():
            if name.partition(".")[0] not in names | {"result"}:
                raise self._error(f"names {name!r}, which is no slot of its patterns")
        if self.example is not None and self.match(self.example.strip(STOPS)) is None:
            raise self._error(f"does not match its own example {self.example!r}")

    def match(self, clause: str) -> Slots | None:
        """Return the slots of a clause, or None when the rule does not apply."""
        return next((slots for pattern in self._compiled if (slots := pattern.match(clause)) is not None), None)

    def begin(self, match: Match) -> Steps:
        """Return what is to be done for a clause, step by step."""
        return self._call_and_answer(match) if self.steps is None else self.steps(match)

    def _call_and_answer(self, match: Match) -> Steps:
        result = Result() if self.tool is None else (yield Ask(self.tool, self._arguments_for(match)))
        reply = self._reply_to(result)
        return fill(reply, _values(match, result)) if isinstance(reply, str) else reply(match, result)

    def _reply_to(self, result: Result) -> Reply:
        if result.ok:
            return self.answer or ("{result}" if result.text else "Done.")
        return self.failure or _FAILURES[result.outcome]

    def _arguments_for(self, match: Match) -> JsonObject:
        if self.arguments is None:
            return match.slots
        if callable(self.arguments):
            return self.arguments(match)
        return {name: _argument(value, match) for name, value in self.arguments.items()}

    def _named(self) -> Iterable[str]:
        for reply in (self.answer, self.failure):
            yield from fields(reply) if isinstance(reply, str) else ()
        arguments: JsonObject = {} if self.arguments is None or callable(self.arguments) else self.arguments
        for value in arguments.values():
            yield from fields(value) if isinstance(value, str) else ()

    def _error(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"the rule for {self.patterns!r} {problem}")


def _values(match: Match, result: Result) -> Callable[[str], str]:
    def value(name: str) -> str:
        first, *path = name.split(".")
        if first != "result":
            return match.text(first)
        if not path:
            return result.text
        data: Json = result.data
        for key in path:
            data = data.get(key) if isinstance(data, Mapping) else None
        return "" if data is None else str(data)

    return value


def _argument(value: Json, match: Match) -> Json:
    """Fill slots into a text; a text that is nothing but one slot becomes the slot's value, a number too."""
    if not isinstance(value, str):
        return value
    alone = match.slots.get(value[1:-1]) if value == f"{{{value[1:-1]}}}" else None
    return fill(value, match.text) if alone is None else alone


def parsed_json(text: str) -> Json:
    """Return the JSON value in a text, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
