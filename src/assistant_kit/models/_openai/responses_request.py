"""Requests in the wire format of the Responses API. Nothing is kept at the provider: everything is sent, every time."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    Item,
    OutputItem,
    Part,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.models._openai.body import ToolFragments, Tools, data_url, dump, hosted_choice, join
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import ToolSpec

PATH = "/responses"
SEALED = "reasoning.encrypted_content"
_ANSWERS = ("assistant", "tool_call", "reasoning", "provider")


class ResponsesRequests:
    """Writes requests for one model.

    Reasoning is asked for in its encrypted form, as a model that thinks needs it back. `sealed` becomes false when
    the server refuses that for this model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._tools = ToolFragments(_tool)
        self.sealed = True

    def body(self, request: ModelRequest, *, is_openai: bool) -> bytes:
        """Return the body of a request. Raises InputError when a part has no content.

        Only OpenAI pads its events (`obfuscation`), so only OpenAI is asked not to: a setting that other servers may
        not know.
        """
        settings: dict[str, Any] = {"model": self._model, "store": False}
        if self.sealed:
            settings["include"] = [SEALED]
        if request.stream:
            settings["stream"] = True
            if is_openai:
                settings["stream_options"] = {"include_obfuscation": False}
        settings.update(_settings(request.settings, request.tools))
        if request.output is not None:
            schema = {"name": request.output.name, "schema": request.output.schema, "strict": request.output.strict}
            settings["text"] = {"format": {"type": "json_schema", **schema}}
        pieces: dict[str, bytes] = {}
        if request.tools:
            pieces["tools"] = self._tools.of(request.tools)
        if request.instructions:
            pieces["instructions"] = dump(request.instructions)
        pieces["input"] = b"[" + b",".join(_items(request.items, is_openai=is_openai)) + b"]"
        return join(settings, request.settings.extra, pieces)


def _settings(settings: ModelSettings, tools: Tools) -> dict[str, Any]:
    choice = settings.tool_choice
    if choice is not None and choice not in ("auto", "required", "none"):
        choice = {"type": choice} if hosted_choice(choice, tools) else {"type": "function", "name": choice}
    values = {
        "tool_choice": choice if tools else None,
        "parallel_tool_calls": settings.parallel_tool_calls if tools else None,
        "reasoning": None if settings.reasoning_effort is None else {"effort": settings.reasoning_effort},
        "max_output_tokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
    }
    return {key: value for key, value in values.items() if value is not None}


def _tool(tool: ToolSpec) -> dict[str, object]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


def _items(items: Sequence[Item], *, is_openai: bool) -> list[bytes]:
    forms: list[bytes] = []
    last = len(items) - 1
    for index, item in enumerate(items):
        if isinstance(item, Reasoning) and (
            not _is_replayed(item, is_openai=is_openai) or index == last or items[index + 1].kind not in _ANSWERS
        ):
            continue  # what was cut off before it led to anything is not taken back by OpenAI
        forms.append(item.wire_form("responses", partial(_form, item)))
    return forms


def _is_replayed(item: Reasoning, *, is_openai: bool) -> bool:
    """Tell whether reasoning goes back: none of another format; and to OpenAI, which stores nothing, only if sealed."""
    return item.raw is not None and (not is_openai or '"encrypted_content":"' in item.raw)


def _form(item: Item) -> bytes:
    match item:
        case UserMessage():
            return dump({"type": "message", "role": "user", "content": _content(item.content)})
        case DeveloperMessage():
            return dump({"type": "message", "role": "developer", "content": item.text})
        case ToolAnswer():
            return dump({"type": "function_call_output", "call_id": item.call_id, "output": _content(item.content)})
        case _:
            return _output(item) if item.raw is None else item.raw.encode(errors="replace")


def _output(item: OutputItem) -> bytes:
    if isinstance(item, ToolCall):
        call = {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        return dump(call)
    text = (item.text or item.refusal or "") if isinstance(item, AssistantMessage) else ""
    return dump({"type": "message", "role": "assistant", "content": text})


def _content(content: Sequence[Part]) -> str | list[dict[str, object]]:
    if all(isinstance(part, Text) for part in content) and len(content) <= 1:
        return "".join(part.text for part in content if isinstance(part, Text))
    return [_part(part) for part in content]


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        url = part.url or data_url(part, "image/png")
        return {"type": "input_image", "detail": part.detail, "image_url": url}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    data = data_url(part, "application/octet-stream")
    return {"type": "input_file", "filename": part.filename or "file", "file_data": data}
