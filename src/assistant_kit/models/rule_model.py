"""A small model that works by rules: it maps plain sentences to tool calls, and their results to answers.

It is no language model. It understands what its rules describe and nothing else, it costs nothing, needs no network,
and does the same every time: good for demos and tests, and as the last resort when a provider is down.

    rules = [
        Rule("(add|put) {title} [to my list]", tool="add_task", answer="Added {title}."),
        Rule("(complete|finish) task {task_id:int}", tool="complete_task", answer="Done: {result.title}."),
        Rule("complete {title}", steps=complete_by_title),
    ]

A function in `steps` looks at a result before it asks for the next call:

    def complete_by_title(match: Match) -> Steps:
        tasks = yield Ask("list_tasks")
        for task in tasks.record["tasks"]:
            if task["title"] == match.text("title"):
                done = yield Ask("complete_task", {"task_id": task["id"]})
                return "Done." if done.ok else done.text
        return "There is no such task."

It keeps no state: for each request it plays the current turn again from its start, with the results that are in the
request. So functions have to ask for the same things when they get the same results.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby

from anyio.lowlevel import checkpoint

from assistant_kit.errors import AssistantKitError, ModelBroke, ModelRejected
from assistant_kit.events import Token
from assistant_kit.messages import AssistantMessage, Item, JsonObject, ToolAnswer, ToolCall, UserMessage, text_of
from assistant_kit.models._rule import Answer, Ask, Match, Reply, Result, Rule, Steps, parsed_json
from assistant_kit.models._rule_sentence import Reader, Slots
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.usage import Usage
from assistant_kit.view import SAME_RESULT

__all__ = ["Answer", "Ask", "Match", "Reply", "Result", "Rule", "RuleModel", "Steps"]

_LONGEST = 1_000  # characters of a message; matching one template with three slots may take cubic time
_MOST_ASKS = 100  # by one rule in one turn
_WORD = re.compile(r"\s*\S+|\s+\Z")
_NUMBERED = re.compile(r"call_(\d+)")
_DID_NOT_UNDERSTAND = "I did not understand that: I answer by fixed rules."


class RuleModel:
    """A model that works by `rules`; of several that match, the first one counts.

    A message is parted into clauses at `joiners` and punctuation where each clause then matches; `filler` is templates
    of what may stand around a clause and means nothing ("please"). A clause begins when the one before has its results,
    so that it finds what that has done; only neighbouring calls of tools that just read are asked for together. What no
    rule matches is answered by `fallback`, a text or a function of the request (default: a text with the examples of
    the rules that can be used now), and so is a message of more than 1,000 characters. Images and files are not looked
    at.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        fallback: str | Callable[[ModelRequest], str] | None = None,
        filler: Sequence[str] = (),
        joiners: Sequence[str] = ("and", "then", "also"),
        name: str = "rules",
    ) -> None:
        self._rules = tuple(rules)
        self._fallback = self._suggest if fallback is None else fallback
        self._reader = Reader.of(joiners=joiners, filler=filler)
        self._name = name

    @property
    def name(self) -> str:
        """The name in journals, events and errors."""
        return self._name

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Ask for the calls that come next, or answer.

        Raises `ModelRejected` when structured output is asked for and no rule gives JSON, and `ModelBroke` when a
        function of a rule fails.
        """
        await checkpoint()
        turn = _Turn(request, self._name)
        clauses = self._clauses(turn)
        decided = turn.play(clauses) if clauses else self._fall_back(request)
        if not isinstance(decided, str):
            calls = tuple(_calls(decided, request.items))
            return ModelResponse(items=calls, usage=Usage(requests=1), model=self._name, finish="tool_calls")
        if request.output is not None and parsed_json(decided) is None:
            raise ModelRejected("no rule gives structured output for this message", model=self._name)
        for piece in _WORD.findall(decided) if request.stream else ():
            emit(Token(piece))
            await checkpoint()
        return ModelResponse(items=(AssistantMessage(text=decided),), usage=Usage(requests=1), model=self._name)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to free."""
        await checkpoint()

    def _clauses(self, turn: "_Turn") -> Sequence[tuple[Rule, str, Slots]]:
        """Find the rule for each clause of the message; none when they do not all have one."""

        def find(clause: str) -> tuple[Rule, str, Slots] | None:
            for rule in self._rules:
                slots = rule.match(clause) if rule.tool is None or rule.tool in turn.tools else None
                if slots is not None:
                    return rule, clause, slots
            return None

        if not turn.message or len(turn.message) > _LONGEST:
            return ()
        clauses = self._reader.clauses(turn.message, lambda clause: find(clause) is not None)
        return [found for clause in clauses if (found := find(clause)) is not None]

    def _fall_back(self, request: ModelRequest) -> str:
        if isinstance(self._fallback, str):
            return self._fallback
        with _reported("the fallback", self._name):
            return self._fallback(request)

    def _suggest(self, request: ModelRequest) -> str:
        tools = _tools(request)
        usable = (rule for rule in self._rules if rule.tool is None or rule.tool in tools)
        examples = [f"- {rule.example}" for rule in usable if rule.example is not None]
        return "\n".join(
            [f"{_DID_NOT_UNDERSTAND} You can say, for example:", *examples] if examples else [_DID_NOT_UNDERSTAND]
        )


class _Turn:
    """The current turn of a request, played again from its start with the results that are there."""

    def __init__(self, request: ModelRequest, model: str) -> None:
        users = [index for index, item in enumerate(request.items) if isinstance(item, UserMessage)]
        start = users[-1] if users else len(request.items)
        user = request.items[start] if users else None
        self.message = text_of(user.content) if isinstance(user, UserMessage) else ""
        self.tools = _tools(request)
        self._request = request
        self._model = model
        told: dict[tuple[str, str], str] = {}
        self._seen = _results(request.items[:start], told)
        self._unused = _results(request.items[start:], told)

    def play(self, clauses: Sequence[tuple[Rule, str, Slots]]) -> Sequence[Ask] | str:
        """Return the calls to ask for next, or else the answer to the whole message."""
        answers: list[str] = []
        for _, together in groupby(enumerate(clauses), key=self._group):
            earlier = tuple(self._seen)  # the same for all that are asked for together, now and when played again
            asks: list[Ask] = []
            for _, (rule, clause, slots) in together:
                match = Match(clause=clause, slots=slots, earlier=earlier, request=self._request)
                decided = self._play(rule, match)
                if isinstance(decided, Ask):
                    asks.append(decided)
                else:
                    answers.append(decided)
            if asks:
                return asks
        return "\n".join(answers)

    def _group(self, numbered: tuple[int, tuple[Rule, str, Slots]]) -> int:
        """Put neighbouring clauses that just read into one group, and each other one into its own."""
        number, (rule, _, _) = numbered
        return -1 if rule.tool is not None and self.tools[rule.tool].effect == "read" else number

    def _play(self, rule: Rule, match: Match) -> Ask | str:
        """Play one rule up to its answer or to the first call that has no result yet."""
        with _reported(f"the rule for {rule.patterns!r}", self._model):
            steps = rule.begin(match)
            try:
                ask = next(steps)
                for _ in range(_MOST_ASKS):
                    result = self._result_of(ask)
                    if result is None:
                        return ask
                    self._seen.append(result)
                    ask = steps.send(result)
            except StopIteration as end:
                answer: Answer = end.value
                return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        problem = f"the rule for {rule.patterns!r} has asked for {_MOST_ASKS} calls"
        raise ModelBroke(problem, model=self._model, should_retry=False)

    def _result_of(self, ask: Ask) -> Result | None:
        """Take the first unused result of this very call; None when the call is still to be made."""
        arguments = _canonical(ask.arguments)
        for result in self._unused:
            if result.tool == ask.tool and _canonical(result.arguments) == arguments:
                self._unused.remove(result)
                return result
        if ask.tool in self.tools:
            return None
        return Result(
            tool=ask.tool, arguments=ask.arguments, outcome="error", text=f"there is no tool {ask.tool!r} here"
        )


@contextmanager
def _reported(what: str, model: str) -> Generator[None]:
    """Report the failure of a function that the model was given as the model's own."""
    try:
        yield
    except AssistantKitError:
        raise
    except Exception as error:
        raise ModelBroke(f"{what} failed: {error!r}", model=model, should_retry=False) from error


def _tools(request: ModelRequest) -> Mapping[str, ToolSpec]:
    """Return the tools that may be called, by name."""
    allowed = request.tools if request.settings.tool_choice != "none" else ()
    return {tool.name: tool for tool in allowed if isinstance(tool, ToolSpec)}


def _results(items: Sequence[Item], told: dict[tuple[str, str], str]) -> list[Result]:
    """Return the results of calls; `told` has those that were shown, to which later ones may refer."""
    answers = {item.call_id: item for item in items if isinstance(item, ToolAnswer)}
    calls = [item for item in items if isinstance(item, ToolCall) and item.call_id in answers]
    return [_result(call, answers[call.call_id], told) for call in calls]


def _result(call: ToolCall, answer: ToolAnswer, told: dict[tuple[str, str], str]) -> Result:
    arguments = parsed_json(call.arguments)
    text = text_of(answer.content)
    if text == SAME_RESULT:
        text = told.get((call.name, call.arguments), text)
    told[call.name, call.arguments] = text
    return Result(
        tool=call.name,
        arguments=arguments if isinstance(arguments, Mapping) else {},
        outcome=answer.outcome,
        text=text,
    )


def _calls(asks: Sequence[Ask], items: Sequence[Item]) -> Iterable[ToolCall]:
    """Number calls on from those in the request."""
    ids = [_NUMBERED.fullmatch(item.call_id) for item in items if isinstance(item, ToolCall)]
    first = 1 + max((int(number[1]) for number in ids if number), default=0)
    for number, ask in enumerate(asks, first):
        yield ToolCall(call_id=f"call_{number}", name=ask.tool, arguments=json.dumps(ask.arguments, ensure_ascii=False))


def _canonical(value: JsonObject) -> str:
    return json.dumps(value, sort_keys=True)
