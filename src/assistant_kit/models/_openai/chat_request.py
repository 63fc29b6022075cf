"""Requests in the wire format of Chat Completions, which most compatible servers speak."""

from collections.abc import Sequence
from functools import partial
from typing import Any, assert_never

from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    Item,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
    text_of,
)
from assistant_kit.models._openai.body import ToolFragments, Tools, data_url, dump, hosted_choice, join
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import ToolSpec

PATH = "/chat/completions"
_MEDIA_FOLLOW = "The files that this tool call returned are in the next user message."


class ChatRequests:
    """Writes requests for one model."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._tools = ToolFragments(_tool)

    def body(self, request: ModelRequest, *, is_openai: bool) -> bytes:
        """Return the body of a request. Raises InputError when a part has no content.

        OpenAI's newer models refuse `max_tokens`; other servers know it, and many pass over `max_completion_tokens`
        without a word, which would leave the answer without a limit. So the host decides. Only OpenAI pads its events
        (`obfuscation`), so only OpenAI is asked not to.
        """
        settings: dict[str, Any] = {"model": self._model}
        if request.stream:
            settings["stream"] = True
            settings["stream_options"] = {"include_usage": True}
            if is_openai:
                settings["stream_options"]["include_obfuscation"] = False
        limit = "max_completion_tokens" if is_openai else "max_tokens"
        settings.update(_settings(request.settings, request.tools, limit))
        if request.output is not None:
            schema = {"name": request.output.name, "schema": request.output.schema, "strict": request.output.strict}
            settings["response_format"] = {"type": "json_schema", "json_schema": schema}
        pieces: dict[str, bytes] = {}
        if request.tools:
            pieces["tools"] = self._tools.of(request.tools)
        pieces["messages"] = _messages(request.instructions, request.items)
        return join(settings, request.settings.extra, pieces)


def _settings(settings: ModelSettings, tools: Tools, limit: str) -> dict[str, Any]:
    choice = settings.tool_choice
    if choice is not None and choice not in ("auto", "required", "none"):
        hosted = hosted_choice(choice, tools)
        choice = {"type": choice} if hosted else {"type": "function", "function": {"name": choice}}
    values = {
        "tool_choice": choice if tools else None,
        "parallel_tool_calls": settings.parallel_tool_calls if tools else None,
        "reasoning_effort": settings.reasoning_effort,
        limit: settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
    }
    return {key: value for key, value in values.items() if value is not None}


def _tool(tool: ToolSpec) -> dict[str, object]:
    function: dict[str, object] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": {**function, "strict": True} if tool.strict else function}


def _messages(instructions: str, items: Sequence[Item]) -> bytes:
    messages = _Messages()
    if instructions:
        messages.done.append(b'{"role":"system","content":' + dump(instructions) + b"}")
    for item in items:
        messages.add(item)
    messages.close()
    return b"[" + b",".join(messages.done) + b"]"


class _Messages:
    """Builds messages from items: what one answer of the model consists of becomes one message.

    Pictures and files that tools returned follow in a user's message, as the format has no place for them in a tool's;
    it stands after the last of the tool messages, which nothing may part.
    """

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self._texts: list[bytes] = []
        self._calls: list[bytes] = []
        self._media: list[bytes] = []

    def add(self, item: Item) -> None:
        """Take the next item."""
        match item:
            case AssistantMessage() | ToolCall() | Reasoning() | ProviderItem():
                self._close_answers()
                self._add_output(item)
            case ToolAnswer():
                self._close_output()
                self.done.append(item.wire_form("chat", partial(_answer, item)))
                if media := item.wire_form("chat media", partial(_answer_media, item)):
                    self._media.append(media)
            case UserMessage() | DeveloperMessage():
                self.close()
                self.done.append(item.wire_form("chat", partial(_message, item)))
            case _:  # pragma: no cover - pyright proves that there is no other
                assert_never(item)

    def close(self) -> None:
        """Finish the message that is being built."""
        self._close_output()
        self._close_answers()

    def _add_output(self, item: AssistantMessage | ToolCall | Reasoning | ProviderItem) -> None:
        if isinstance(item, ToolCall):
            self._calls.append(item.wire_form("chat", partial(_call, item)))
        elif isinstance(item, AssistantMessage):
            self._texts.append(item.wire_form("chat", partial(_said, item)))
        # reasoning and hosted tools have no place in this format; some servers refuse reasoning that is sent back

    def _close_output(self) -> None:
        texts, calls = self._texts, self._calls
        if not texts and not calls:
            return
        content = b"\\n\\n".join(text[1:-1] for text in texts)
        message = [b'{"role":"assistant","content":', b'"' + content + b'"' if texts else b"null"]
        if calls:
            message += (b',"tool_calls":[', b",".join(calls), b"]")
        message.append(b"}")
        self.done.append(b"".join(message))
        self._texts, self._calls = [], []

    def _close_answers(self) -> None:
        if self._media:
            self.done.append(b'{"role":"user","content":[' + b",".join(self._media) + b"]}")
            self._media = []


def _said(item: AssistantMessage) -> bytes:
    return dump(item.text or item.refusal or "")


def _call(item: ToolCall) -> bytes:
    function = {"name": item.name, "arguments": item.arguments}
    return dump({"id": item.call_id, "type": "function", "function": function})


def _message(item: UserMessage | DeveloperMessage) -> bytes:
    if isinstance(item, DeveloperMessage):
        return dump({"role": "system", "content": item.text})
    return dump({"role": "user", "content": _content(item.content)})


def _answer(item: ToolAnswer) -> bytes:
    text = text_of(item.content)
    if any(not isinstance(part, Text) for part in item.content):
        text = f"{text}\n{_MEDIA_FOLLOW}" if text else _MEDIA_FOLLOW
    return dump({"role": "tool", "tool_call_id": item.call_id, "content": text})


def _answer_media(item: ToolAnswer) -> bytes:
    parts = [_part(part) for part in item.content if not isinstance(part, Text)]
    if not parts:
        return b""
    caption = {"type": "text", "text": f"From the tool call {item.call_id}:"}
    return dump([caption, *parts])[1:-1]


def _content(content: Sequence[Part]) -> str | list[dict[str, object]]:
    if len(content) == 1 and isinstance(content[0], Text):
        return content[0].text
    return [_part(part) for part in content]


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        url = part.url or data_url(part, "image/png")
        return {"type": "image_url", "image_url": {"url": url, "detail": part.detail}}
    if part.url:  # the format knows no addresses of files: the model is told where it is
        return {"type": "text", "text": f"{part.filename or 'file'}: {part.url}"}
    data = data_url(part, "application/octet-stream")
    return {"type": "file", "file": {"filename": part.filename or "file", "file_data": data}}
