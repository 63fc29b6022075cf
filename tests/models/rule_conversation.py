"""A conversation with a rule-based model, for its tests."""

import json
from collections.abc import Mapping, Sequence

import anyio

from assistant_kit.events import Delta
from assistant_kit.messages import (
    Item,
    Json,
    JsonObject,
    Outcome,
    Text,
    ToolAnswer,
    ToolCall,
    user_message,
)
from assistant_kit.models.rule_model import Ask, Match, Rule, RuleModel, Steps
from assistant_kit.protocols.model import ModelRequest, ModelResponse
from assistant_kit.tool_spec import HostedTool, ToolSpec

ADD = Rule("(add|put) {title} [(to|on) my list]", tool="add", answer="Added {title}.", example="add milk to my list")
SWITCH = Rule(
    "turn {state:word} the {room} light", tool="switch", arguments={"where": "{room}", "to": "{state}", "by": 1}
)
LOOK = Rule("show my list", tool="show", answer="You have {result.count} tasks, first {result.first.title}.")
READ = {"show", "count"}
HELLO = Rule(["hello", "good (morning|evening)"], answer="Hello!")


class Conversation:
    """Asks a model as the run loop does: calls are answered and the model is asked again, until it answers."""

    def __init__(
        self, model: RuleModel, answers: "Mapping[str, Json | ToolAnswer]", *, tools: Sequence[str] = ()
    ) -> None:
        self.model = model
        self.answers = answers
        self.tools = [
            ToolSpec(name=name, description="", parameters={}, effect="read" if name in READ else "once")
            for name in tools or answers
        ]
        self.items: list[Item] = []
        self.rounds: list[list[tuple[str, JsonObject]]] = []
        self.deltas: list[Delta] = []

    async def say(self, text: str, *, stream: bool = True) -> str:
        self.items.append(user_message(text))
        self.rounds.clear()
        self.deltas.clear()
        with anyio.fail_after(5):
            while True:
                response = await self.respond(stream=stream)
                self.items.extend(response.items)
                if not response.tool_calls:
                    assert response.finish == "stop"
                    return response.text
                assert response.finish == "tool_calls"
                self.rounds.append([(call.name, json.loads(call.arguments)) for call in response.tool_calls])
                self.items.extend(self.answer(call) for call in response.tool_calls)

    async def respond(self, *, stream: bool) -> ModelResponse:
        request = ModelRequest(items=self.items, tools=[HostedTool(), *self.tools], stream=stream)
        return await self.model.respond(request, self.deltas.append)

    def answer(self, call: ToolCall) -> ToolAnswer:
        answer = self.answers[call.name]
        if isinstance(answer, ToolAnswer):
            return ToolAnswer(call_id=call.call_id, outcome=answer.outcome, content=answer.content)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return ToolAnswer(call_id=call.call_id, content=(Text(text=text),))


def failed(text: str, outcome: Outcome = "error") -> ToolAnswer:
    return ToolAnswer(call_id="", outcome=outcome, content=(Text(text=text),))


def complete(match: Match) -> Steps:
    """Find the task by its title, then complete it."""
    found = yield Ask("find", {"title": match.text("title")})
    assert found.record == {}
    if not found.data:
        return f"There is no {match.text('title')}."
    done = yield Ask("complete", {"id": found.data[0]})
    return "Completed." if done.ok else f"Not completed: {done.text}"
