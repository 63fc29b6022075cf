"""All that the routes use, put together once for an application."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from anyio import to_thread

from assistant_kit import Assistant
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.shared_state import SharedState
from assistant_kit.stores.projected import ProjectedStore
from examples.todo_chatbot.api.limits import Limits
from examples.todo_chatbot.assistant import make_assistant, make_basic_assistant, make_model, make_state, make_store
from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.auth.tokens import AccessTokens
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.engine import AssistantEngine, Engine
from examples.todo_chatbot.mcp_server.http import LOCAL_HOSTS, HTTPDoor
from examples.todo_chatbot.mcp_server.in_process import task_tools
from examples.todo_chatbot.services.chat_requests import ChatRequests
from examples.todo_chatbot.services.conversation_service import ConversationService
from examples.todo_chatbot.services.message_service import MessageService
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from examples.todo_chatbot.settings import Settings, signing_key

_LOOK = 5.0  # seconds between two looks for messages whose server has died


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts of the application. Nothing of it remembers a request."""

    settings: Settings
    database: Database
    users: UserService
    tasks: TaskService
    conversations: ConversationService
    messages: MessageService
    chat_requests: ChatRequests
    tokens: AccessTokens
    state: SharedState
    limits: Limits
    store: ProjectedStore
    model: Model | None
    assistant: Assistant[str]
    engine: Engine
    mcp: HTTPDoor

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Bring the tables up to date, open all, and finish in the background what servers that died left undone."""
        async with AsyncExitStack() as stack:
            stack.callback(self.database.close)
            await to_thread.run_sync(self.database.migrate)
            stack.push_async_callback(self.state.aclose)
            stack.push_async_callback(self.store.aclose)
            await self.store.open()
            if self.model is not None:
                stack.push_async_callback(self.model.aclose)
            await stack.enter_async_context(self.mcp)
            await stack.enter_async_context(self.assistant)
            await stack.enter_async_context(self.assistant.recovering(every=_LOOK))
            await stack.enter_async_context(self.engine.running())
            yield


def make_service(settings: Settings, *, model: Model | None = None, passwords: Passwords | None = None) -> Service:
    """Put the parts together; nothing is opened yet. `model` answers in place of the one of the settings.

    Raises SettingsError, DatabaseUnavailable.
    """
    database = Database(settings.database_url)
    users, tasks = UserService(database, passwords), TaskService(database)
    tokens = AccessTokens(signing_key(settings))
    store, state = make_store(database), make_state(database)
    if model is None and settings.engine == "assistant":
        model = make_model(settings)
    assistant, engine = _make_engine(settings, store=store, state=state, tasks=tasks, model=model)
    return Service(
        settings=settings,
        database=database,
        users=users,
        tasks=tasks,
        conversations=ConversationService(database),
        messages=MessageService(database),
        chat_requests=ChatRequests(database),
        tokens=tokens,
        state=state,
        limits=Limits(settings.limits, state),
        store=store,
        model=model,
        assistant=assistant,
        engine=engine,
        mcp=HTTPDoor(tasks, users, tokens, hosts=(*LOCAL_HOSTS, *settings.hosts)),
    )


def _make_engine(
    settings: Settings, *, store: ProjectedStore, state: SharedState, tasks: TaskService, model: Model | None
) -> tuple[Assistant[str], Engine]:
    """Return the assistant, which holds the conversations in any case, and what answers in them."""
    tools = task_tools(tasks)
    if settings.engine == "assistant":
        assistant = make_assistant(settings, store=store, state=state, tools=tools, model=model)
        return assistant, AssistantEngine(assistant)
    from examples.todo_chatbot.agents_engine import AgentsEngine  # noqa: PLC0415  (others need no Agents SDK)

    basic = make_basic_assistant(settings, store=store, tools=tools)
    return basic, AgentsEngine(settings, store=store, state=state, tasks=tasks, basic=basic)
