"""assistant_kit: assistants that use tools, for products that somebody answers for.

Names are loaded when they are first used, so that `import assistant_kit` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant_kit.assistant import Assistant as Assistant
    from assistant_kit.assistant import Conversation as Conversation
    from assistant_kit.messages import File as File
    from assistant_kit.messages import Image as Image
    from assistant_kit.messages import Text as Text

_PLACES = {
    "Assistant": "assistant",
    "AssistantKitError": "errors",
    "Conversation": "assistant",
    "File": "messages",
    "HostedTool": "tool_spec",
    "Image": "messages",
    "LeaseSettings": "settings",
    "MCPServer": "toolsets.mcp",
    "MemoryStore": "stores.memory",
    "ModelSettings": "settings",
    "OpenAI": "models.openai",
    "OpenAIChat": "models.openai_chat",
    "OpenAIResponses": "models.openai_responses",
    "Result": "run.result",
    "Retry": "policies.retry",
    "Rule": "models.rule_model",
    "RuleModel": "models.rule_model",
    "RunLimits": "settings",
    "RunStream": "run.stream",
    "SQLiteStore": "stores.sqlite",
    "Settings": "settings",
    "Text": "messages",
    "ToolContext": "protocols.toolset",
    "ToolError": "errors",
    "Usage": "usage",
    "WindowSettings": "settings",
    "keyed": "tool_spec",
    "tool": "toolsets.functions",
}
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
