"""The OpenAI Agents SDK as the engine, for teams that use it already: storage and limits are this library's.

The session of a run is the conversation in our store, so that its rows, lists and erasure are the same. A message whose
process dies is not answered by another one, as the SDK cannot go on with a run. Needs the extra `openai-agents`.
"""

import json
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias, Unpack, cast

import anyio
import openai
from agents import (
    Agent,
    AgentBase,
    Model,
    ModelSettings,
    OpenAIProvider,
    RunConfig,
    RunContextWrapper,
    Runner,
    RunResultStreaming,
    StreamEvent,
    ToolCallItem,
    ToolCallOutputItem,
)
from agents.exceptions import AgentsException, MaxTurnsExceeded
from agents.mcp import MCPServer
from mcp import Client
from mcp.types import CallToolResult, GetPromptResult, ListPromptsResult, Tool
from openai.types.responses import ResponseFunctionToolCall, ResponseTextDeltaEvent

from assistant_kit import (
    Assistant,
    AssistantKitError,
    CircuitBreaker,
    CircuitOpen,
    DeadlineExceeded,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
    Quota,
    QuotaExceeded,
    Quotas,
    Result,
    RunStream,
    StepLimitExceeded,
    guarded,
)
from assistant_kit.events import Complete, Event, Token, ToolRequest, ToolResult
from assistant_kit.integrations.openai_agents import StoreSession, run_usage
from assistant_kit.messages import Text
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.shared_state import SharedState
from assistant_kit.protocols.store import Store
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import CallResult
from examples.todo_chatbot.assistant import INSTRUCTIONS, LEASE, RUN
from examples.todo_chatbot.mcp_server.config import NAME, USER, as_the_client_says
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.settings import Settings

_IN, _OUT = 8_000, 2_000  # tokens that a run takes at most, as a rule; what it took is booked after it
_CLOSING = 5.0  # seconds
_FAILED = "the run of the agent has failed"

_MEANING: Sequence[tuple[type[Exception] | tuple[type[Exception], ...], type[ModelError]]] = (
    (openai.APIConnectionError, ModelUnreachable),
    (openai.RateLimitError, ModelRateLimited),
    ((openai.AuthenticationError, openai.PermissionDeniedError), ModelUnauthorized),
    (openai.BadRequestError, ModelRejected),
    (AgentsException, ModelBroke),
)

Emit: TypeAlias = Callable[[Event], None]


class AgentsEngine:
    """Answers by `Runner.run_streamed`. When nobody may ask the model, `basic` answers by rules.

    That is before a run: of a day's tokens none is left, or the breaker is open. A run that fails is an error.
    """

    repeats: bool = False

    def __init__(
        self, settings: Settings, *, store: Store, state: SharedState, tasks: TaskService, basic: Assistant[str]
    ) -> None:
        """Take where things are kept and counted, and the settings, which name a model. Enter `running` first."""
        tokens = Quota("tokens", limit=settings.limits.tokens_per_day, unit="tokens", window="day")
        self._policies = (Quotas(tokens, state=state, kinds=("other",)), CircuitBreaker(state=state))
        self._settings = settings
        self._store = store
        self._basic = basic
        self._server = make_server(tasks, as_the_client_says)
        self._ready: tuple[Model, Client] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Connect with the model's server, as the environment says where it is, and with the tools."""
        name = (self._settings.model or "").removeprefix("openai:")
        async with openai.AsyncOpenAI() as server, Client(self._server) as tools:
            is_openai = server.base_url.host == "api.openai.com"  # others have Chat Completions
            self._ready = OpenAIProvider(openai_client=server, use_responses=is_openai).get_model(name), tools
            yield

    async def run(self, message: str, **options: Unpack[RunOptions]) -> Result[str]:
        """Return the answer. Raises AssistantKitError."""
        async with self.stream(message, **options) as run:
            return await run.result()

    def stream(self, message: str, **options: Unpack[RunOptions]) -> RunStream[str]:
        """Return the answer as it comes."""
        return RunStream(lambda emit: self._answered(message, options, emit))

    async def _answered(self, message: str, options: RunOptions, emit: Emit) -> Result[str]:
        user, conversation = options.get("user") or "", options.get("conversation") or ""
        session = StoreSession(
            self._store,
            user=user,
            conversation=conversation,
            max_tokens=self._settings.window.budget // 2,  # the rest is for instructions, tools and new results
            lease=LEASE,
        )

        async def make() -> RunResultStreaming:
            return await self._made(session, message, emit)

        call = Call(name="agent", user=user, prompt_tokens=_IN, output_tokens=_OUT, usage=run_usage)
        try:
            result = await guarded(make, *self._policies, name="agent", call=call)
        except (QuotaExceeded, CircuitOpen):  # nothing has been said yet
            return await self._by_rules(message, options, emit)
        return _told(result, conversation, emit)

    async def _by_rules(self, message: str, options: RunOptions, emit: Emit) -> Result[str]:
        async with self._basic.stream(message, **options) as run:
            async for event in run:
                if event.kind != "error":  # it is raised
                    emit(event)
            return await run.result()

    async def _made(self, session: StoreSession, message: str, emit: Emit) -> RunResultStreaming:
        """Let the SDK answer; a run that fails leaves no open turn. Raises AssistantKitError."""
        try:
            with _mapped(), anyio.fail_after(RUN.timeout):
                return await self._run(session, message, emit)
        except BaseException:
            journal = self._basic.conversation(session.session_id, user=session.user)
            with anyio.move_on_after(_CLOSING, shield=True), suppress(AssistantKitError):
                await journal.close(reason=_FAILED)
            raise

    async def _run(self, session: StoreSession, message: str, emit: Emit) -> RunResultStreaming:
        assert self._ready is not None  # noqa: S101  (it runs)
        model, tools = self._ready
        agent = Agent(
            name=NAME,
            instructions=INSTRUCTIONS,
            model=model,
            model_settings=ModelSettings(temperature=self._settings.style.temperature, include_usage=True),
            mcp_servers=[_Tools(tools, session.user)],
        )
        config = RunConfig(tracing_disabled=True)  # else what is said would go to OpenAI, wherever the model is
        result = Runner.run_streamed(agent, message, session=session, max_turns=RUN.max_steps, run_config=config)
        names: dict[str, str] = {}
        try:
            async for event in result.stream_events():
                for ours in _events(event, names):
                    emit(ours)
        except BaseException:
            result.cancel()
            raise
        return result


class _Tools(MCPServer):
    """The app's MCP server in this process, as the SDK wants it. Each call says whose it is."""

    def __init__(self, client: Client, user: str) -> None:
        super().__init__()
        self._client = client
        self._user = user

    @property
    def name(self) -> str:
        return NAME

    async def connect(self) -> None:
        """Do nothing: the client is connected."""

    async def cleanup(self) -> None:
        """Do nothing: the client belongs to the engine."""

    async def list_tools(
        self, run_context: RunContextWrapper[Any] | None = None, agent: AgentBase | None = None
    ) -> list[Tool]:
        del run_context, agent
        return (await self._client.list_tools()).tools

    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None
    ) -> CallToolResult:
        del meta
        return await self._client.call_tool(tool_name, arguments, meta={USER: self._user})

    async def list_prompts(self) -> ListPromptsResult:
        return await self._client.list_prompts()

    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> GetPromptResult:
        return await self._client.get_prompt(name, arguments)


@contextmanager
def _mapped() -> Generator[None]:
    """Raise what the SDK and its client raise as errors of our library."""
    try:
        yield
    except TimeoutError as error:
        raise DeadlineExceeded("the run of the agent", timeout=RUN.timeout) from error
    except MaxTurnsExceeded as error:
        raise StepLimitExceeded(RUN.max_steps) from error
    except (openai.OpenAIError, AgentsException) as error:
        ours = next((ours for theirs, ours in _MEANING if isinstance(error, theirs)), ModelUnavailable)
        raise ours(str(error), model="agent") from error


def _events(event: StreamEvent, names: dict[str, str]) -> Sequence[Event]:
    """Return an event of the SDK in our words; `names` are those of the tools that were called."""
    if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
        return [Token(event.data.delta)]
    if event.type != "run_item_stream_event":
        return []
    match event.item:
        case ToolCallItem(raw_item=ResponseFunctionToolCall(call_id=call_id, name=name, arguments=arguments)):
            names[call_id] = name
            return [ToolRequest(call_id=call_id, tool=name, arguments=_object(arguments))]
        case ToolCallOutputItem(call_id=str(call_id), output=output):
            content = (Text(text=str(output)),)
            tool = names.get(call_id, "")
            return [ToolResult(call_id=call_id, tool=tool, outcome="ok", content=content, untrusted=True)]
        case _:
            return []


def _object(arguments: str) -> dict[str, Any] | None:
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _told(result: RunResultStreaming, conversation: str, emit: Emit) -> Result[str]:
    calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    text, usage = str(result.final_output), run_usage(result)
    emit(Complete(output=text, status="completed", usage=usage))
    return Result(
        output=text,
        text=text,
        messages=(),
        usage=usage,
        tool_calls=tuple(
            CallResult(call_id=call.call_id, tool=call.name, arguments=call.arguments, outcome="ok")
            for call in calls
            if isinstance(call, ResponseFunctionToolCall)
        ),
        turn="",
        conversation=conversation,
    )
