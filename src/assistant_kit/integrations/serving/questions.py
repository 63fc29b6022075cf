"""Questions to a caller, and its answers, in the words of MCP."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp.types import (
    AudioContent,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    ImageContent,
    InputRequest,
    ListRootsRequest,
    ListRootsResult,
    SamplingContent,
    SamplingMessage,
    TextContent,
)
from pydantic import ValidationError

from assistant_kit.errors import InputError
from assistant_kit.messages import File, Image, JsonObject, Part, Text, UserMessage
from assistant_kit.protocols.caller import Answer, Folders, Form, Kind, Page, Question, Reply, Root, Sample, Sampled
from assistant_kit.toolsets._schemas import SchemaCheck
from assistant_kit.toolsets.mcp.results import content_part

RESULT: Final[Mapping[Kind, type[ElicitResult | CreateMessageResult | ListRootsResult]]] = {
    "form": ElicitResult,
    "page": ElicitResult,
    "sample": CreateMessageResult,
    "roots": ListRootsResult,
}
"""The form in which each kind of question is answered."""

NEEDED: Final[Mapping[Kind, JsonObject]] = {
    "form": {"elicitation": {"form": {}}},
    "page": {"elicitation": {"url": {}}},
    "sample": {"sampling": {}},
    "roots": {"roots": {}},
}
"""What a client declares who takes a kind of question."""


def is_taken(kind: Kind, capabilities: ClientCapabilities | None) -> bool:
    """Tell whether a client takes questions of a kind. Elicitation without a mode means forms, as before 2025-11-25."""
    declared = capabilities or ClientCapabilities()
    elicitation = declared.elicitation
    match kind:
        case "form":
            return elicitation is not None and (elicitation.form is not None or elicitation.url is None)
        case "page":
            return elicitation is not None and elicitation.url is not None
        case "sample":
            return declared.sampling is not None
        case _:
            return declared.roots is not None


def request_of(question: Question, *, page_id: str | None = None) -> InputRequest:
    """Return the request that asks a question; `page_id` stands for the visit of a page, up to 2025-11-25.

    Raises InputError when a message holds what no model can be asked about in this way.
    """
    match question:
        case Form():
            form = ElicitRequestFormParams(message=question.message, requested_schema=dict(question.schema))
            return ElicitRequest(params=form)
        case Page():
            page = ElicitRequestURLParams(message=question.message, url=question.url, elicitation_id=page_id)
            return ElicitRequest(params=page)
        case Sample():
            return CreateMessageRequest(params=_sampling(question))
        case _:
            return ListRootsRequest()


def answer_of(question: Question, given: Mapping[str, Any]) -> Answer | None:
    """Read an answer as it came on the wire; None when it is none to this question, or does not fit its form."""
    try:
        result = RESULT[question.kind].model_validate(given, by_name=False)
    except ValidationError:
        return None
    match result:
        case ElicitResult():
            return _reply(question, result)
        case CreateMessageResult():
            content = (content_part(result.content),)
            return Sampled(content=content, model=result.model, finish=result.stop_reason)
        case _:
            return Folders(roots=tuple(Root(uri=str(root.uri), name=root.name) for root in result.roots))


def _reply(question: Question, result: ElicitResult) -> Reply | None:
    if result.action != "accept" or not isinstance(question, Form):
        return Reply(action=result.action)
    content = result.content or {}
    return None if SchemaCheck(question.schema).problems(content) else Reply(action="accept", content=content)


def _sampling(question: Sample) -> CreateMessageRequestParams:
    return CreateMessageRequestParams(
        messages=[
            SamplingMessage(role="user", content=_blocks(message.content))
            if isinstance(message, UserMessage)
            else SamplingMessage(role="assistant", content=TextContent(text=message.text))
            for message in question.messages
        ],
        max_tokens=question.max_tokens,
        system_prompt=question.instructions or None,
        temperature=question.temperature,
        stop_sequences=list(question.stop) or None,
    )


def _blocks(content: Sequence[Part]) -> Any:
    """Return content as one block where it is one, which is what older clients read."""
    blocks = [_block(part) for part in content]
    return blocks[0] if len(blocks) == 1 else blocks


def _block(part: Part) -> SamplingContent:
    block = media_block(part)
    if block is None:
        raise InputError(f"a model is asked with text, pictures by their bytes, and sounds: not with a {part.kind}")
    return block


def media_block(part: Part) -> SamplingContent | None:
    """Return a text, a picture or a sound as a block of content; None when it is something else, or an address."""
    match part:
        case Text():
            return TextContent(text=part.text)
        case Image(data=bytes() as data):
            return ImageContent(data=b64encode(data).decode(), mime_type=part.media_type or "image/png")
        case File(data=bytes() as data) if (part.media_type or "").startswith("audio/"):
            return AudioContent(data=b64encode(data).decode(), mime_type=str(part.media_type))
        case _:
            return None
