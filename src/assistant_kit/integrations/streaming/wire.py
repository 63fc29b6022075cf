"""Events as JSON: the names and fields of `assistant_kit.events`, in a form that stays the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final, cast

from pydantic_core import from_json, to_json

from assistant_kit.errors import AssistantKitError
from assistant_kit.events import Complete, Event, ToolResult, ToolsetUnavailable
from assistant_kit.integrations.streaming.failures import Tell, failure_of
from assistant_kit.messages import Json, JsonObject, Part, Text

_KIND: Final = "kind"


def data_of(event: Event, *, tell: Tell = failure_of) -> JsonObject:
    """Return the fields of an event as JSON; its name is `event.kind`.

    Errors are `{"code", "message"}` as `tell` says. Of images and files there is their type and size, not what is in
    them; a `tool_result` has its text beside its content. What an output holds that JSON does not know becomes text.
    Why a toolset is missing is left out: it may name servers.
    """
    data = {each.name: _value(getattr(event, each.name), tell) for each in fields(event) if each.name != _KIND}
    if isinstance(event, ToolResult):
        return {**data, "content": [described(part) for part in event.content], "text": event.text}
    if isinstance(event, Complete):
        return {**data, "output": jsonable(event.output)}
    if isinstance(event, ToolsetUnavailable):
        return {"toolset": event.toolset}
    return data


def error_data(error: BaseException, *, tell: Tell = failure_of) -> JsonObject:
    """Return an error as JSON."""
    failure = tell(error)
    return {"code": failure.code, "message": failure.message}


def described(part: Part) -> JsonObject:
    """Return a part of a message as JSON: a text whole, of a picture or a document what it is."""
    if isinstance(part, Text):
        return {"kind": part.kind, "text": part.text}
    about: dict[str, Json] = {"kind": part.kind, "media_type": part.media_type}
    if part.data is not None:
        about["size"] = len(part.data)
    elif part.url is not None and not part.url.startswith("data:"):
        about["url"] = part.url
    if part.kind == "file":
        about["filename"] = part.filename
    return about


def jsonable(value: Any) -> Json:
    """Return what a run has returned as JSON."""
    return from_json(to_json(value, by_alias=True, bytes_mode="base64", inf_nan_mode="null", fallback=str))


def _value(value: object, tell: Tell) -> Json:
    if isinstance(value, AssistantKitError):
        return error_data(value, tell=tell)
    if is_dataclass(value) and not isinstance(value, type):
        return cast("Json", asdict(value))
    return cast("Json", value) if isinstance(value, str | int | float | Mapping | Sequence) else None
