"""Tools that ask their caller back, and log: those that the official conformance suite asks for by name."""

import json
from typing import Any

import anyio

from assistant_kit.messages import JsonObject, Text, UserMessage
from assistant_kit.protocols.caller import Caller, Folders, Form, Question, Reply, Roots, Sample, Sampled
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import tool


def caller_of(context: ToolContext) -> Caller:
    assert context.caller is not None
    return context.caller


def form_of(**fields: Any) -> JsonObject:
    """A form all of whose fields are required."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def words(reply: Reply) -> str:
    return f"action={reply.action}, content={json.dumps(reply.content)}"


def sample(prompt: str, max_tokens: int = 100) -> Sample:
    return Sample(messages=(UserMessage(content=(Text(text=prompt),)),), max_tokens=max_tokens)


TEXT: JsonObject = {"type": "string"}
NAME = Form(message="What is your name?", schema=form_of(name=TEXT))
CONFIRM = Form(message="Please confirm", schema=form_of(ok={"type": "boolean"}))
DEFAULTS: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
OPTIONS = ["option1", "option2", "option3"]
CHOICES: JsonObject = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": f"value{each}", "title": f"Option {each}"} for each in (1, 2, 3)],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": f"value{each}", "title": f"Choice {each}"} for each in (1, 2, 3)]},
        },
    },
}


@tool
async def test_tool_with_logging(context: ToolContext) -> str:
    """Log on the way."""
    caller = caller_of(context)
    caller.log("info", "Tool execution started")
    await anyio.sleep(0.05)
    caller.log("info", "Tool processing data")
    await anyio.sleep(0.05)
    caller.log("info", "Tool execution completed")
    return "done"


@tool
def test_logging_tool(context: ToolContext) -> str:
    """Log in a thread."""
    caller_of(context).log("error", {"what": "nothing"}, "thread")
    return "done"


@tool
async def test_sampling(prompt: str, context: ToolContext) -> str:
    """Ask the caller's model."""
    return f"LLM response: {(await caller_of(context).sample(prompt, max_tokens=100)).text}"


@tool
async def test_elicitation(message: str, context: ToolContext) -> str:
    """Ask the person."""
    fields = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    return f"User response: {words(await caller_of(context).elicit(message, form_of(**fields)))}"


@tool
async def test_elicitation_sep1034_defaults(context: ToolContext) -> str:
    """Ask by a form whose fields have defaults."""
    return f"Elicitation completed: {words(await caller_of(context).elicit('All as it is?', DEFAULTS))}"


@tool
async def test_elicitation_sep1330_enums(context: ToolContext) -> str:
    """Ask by a form of choices."""
    return f"Elicitation completed: {words(await caller_of(context).elicit('Which ones?', CHOICES))}"


@tool
async def test_missing_capability(context: ToolContext) -> str:
    """Ask the caller's model, which the suite does not offer."""
    return (await caller_of(context).sample("hello", max_tokens=10)).text


@tool
async def test_streaming_elicitation(context: ToolContext) -> str:
    """Ask the person, after a report of progress."""
    context.report_progress(1, 2)
    return words(await caller_of(context).elicit("Go on?", CONFIRM.schema))


@tool
async def test_input_required_result_elicitation(context: ToolContext) -> str:
    """Ask for a name."""
    reply = await caller_of(context).elicit(NAME.message, NAME.schema, name="user_name")
    return f"Hello, {reply.content['name']}!" if reply.action == "accept" else "Hello!"


@tool
async def test_input_required_result_sampling(context: ToolContext) -> str:
    """Ask the caller's model."""
    question = "What is the capital of France?"
    return (await caller_of(context).sample(question, max_tokens=100, name="capital_question")).text


@tool
async def test_input_required_result_list_roots(context: ToolContext) -> str:
    """Ask for the folders."""
    return " ".join(root.uri for root in await caller_of(context).roots(name="client_roots"))


@tool
async def test_input_required_result_request_state(context: ToolContext) -> str:
    """Ask for a confirmation."""
    await caller_of(context).ask({"confirm": CONFIRM})
    return "state-ok"


@tool
async def test_input_required_result_tampered_state(context: ToolContext) -> str:
    """Ask for a confirmation, with a state that is changed on its way."""
    await caller_of(context).ask({"confirm": CONFIRM})
    return "confirmed"


@tool
async def test_input_required_result_multiple_inputs(context: ToolContext) -> str:
    """Ask for several things together."""
    questions: dict[str, Question] = {
        "user_name": NAME,
        "greeting": sample("Generate a greeting", 50),
        "client_roots": Roots(),
    }
    name, greeting, folders = (await caller_of(context).ask(questions)).values()
    assert isinstance(name, Reply)
    assert isinstance(greeting, Sampled)
    assert isinstance(folders, Folders)
    return f"{greeting.text} {words(name)}: {len(folders.roots)} folders"


@tool
async def test_input_required_result_multi_round(context: ToolContext) -> str:
    """Ask one question after the other."""
    caller = caller_of(context)
    name = await caller.elicit("Step 1: What is your name?", form_of(name=TEXT), name="step1")
    color = await caller.elicit("Step 2: What is your favorite color?", form_of(color=TEXT), name="step2")
    return f"{words(name)} {words(color)}"


@tool
async def test_input_required_result_capabilities(context: ToolContext) -> str:
    """Ask only what the caller takes."""
    caller = caller_of(context)
    questions: dict[str, Question] = {"user_name": NAME, "greeting": sample("Generate a greeting"), "roots": Roots()}
    answers = await caller.ask({name: each for name, each in questions.items() if caller.can(each.kind)})
    return ", ".join(answers)


ASKING: list[Any] = [
    test_tool_with_logging,
    test_logging_tool,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_missing_capability,
    test_streaming_elicitation,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
]
