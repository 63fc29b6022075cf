"""Sessions and limits for teams that keep the runner of the OpenAI Agents SDK. Needs the extra `openai-agents`."""

from assistant_kit.errors import MissingDependency

try:
    import agents as agents  # all of the package needs it
except ImportError as _missing:
    raise MissingDependency("openai-agents", "openai-agents") from _missing

from assistant_kit.integrations.openai_agents.run_usage import run_usage
from assistant_kit.integrations.openai_agents.session import StoreSession

__all__ = ["StoreSession", "run_usage"]
