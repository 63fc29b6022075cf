"""All that the routes use, put together once for an application. Nothing of it remembers a request."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from anyio import to_thread

from assistant_kit import (
    Assistant,
    Documents,
    EncryptedStore,
    PrometheusObserver,
    RedisState,
    RuleMasker,
    StoreError,
    StoreVault,
)
from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.event_logs.redis import RedisEventLog
from assistant_kit.integrations.streaming import Relay, RelaySettings
from assistant_kit.protocols.artifact_store import ArtifactStore
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.policy import Policy
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.protocols.toolset import Toolset
from examples.flask_demo.orchestrator.assistant import Guards, make_assistant, make_guards, make_model
from examples.flask_demo.orchestrator.attachments import said
from examples.flask_demo.orchestrator.belongings import Belongings, KeptUsers
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.documents import make_documents, make_search
from examples.flask_demo.orchestrator.elsewhere import KeptElsewhere
from examples.flask_demo.orchestrator.errors import told_in_stream
from examples.flask_demo.orchestrator.event_stream import Streams
from examples.flask_demo.orchestrator.limits import Limits
from examples.flask_demo.orchestrator.metrics import WebMetrics
from examples.flask_demo.orchestrator.settings import Settings
from examples.flask_demo.orchestrator.tool_servers import ToolServer, ToolTokens, make_tool_servers
from examples.flask_demo.orchestrator.turns import with_citations
from examples.flask_demo.orchestrator.users import Users
from examples.flask_demo.service_tokens import KeyRing, Verifier
from examples.flask_demo.tls import client_context

NAME: Final = "orchestrator"
_PREFIX: Final = "web"


@dataclass(slots=True, kw_only=True)
class Service:
    """The parts of the application."""

    settings: Settings
    verifier: Verifier
    keys: KeyRing
    users: Users
    state: SharedState
    limits: Limits
    store: EncryptedStore
    masker: RuleMasker
    index: SearchIndex
    documents: Documents
    artifacts: ArtifactStore
    log: RedisEventLog
    model: Model
    tool_servers: Sequence[ToolServer]
    toolsets: Sequence[Toolset]
    guards: Guards
    policies: Sequence[Policy]
    assistant: Assistant[str]
    relay: Relay[str]
    metrics: WebMetrics
    streams: Streams

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open all. What is being answered when it is left is left to another instance."""
        async with AsyncExitStack() as stack:
            stack.callback(self.users.close)
            await to_thread.run_sync(self.users.open)
            for part in (self.state, self.store, self.masker, self.index, self.artifacts, self.log, self.model):
                stack.push_async_callback(part.aclose)
            await self.store.open()
            await stack.enter_async_context(self.assistant)
            await stack.enter_async_context(self.relay)
            yield

    def drain(self) -> None:
        """Say from now on that no more requests are wanted, and end streams: their readers go elsewhere."""
        self.streams.stop()

    async def ping_redis(self) -> None:
        """See that Redis answers. Raises StoreError."""
        await self.state.update("", "ping", _ping)

    async def stream_place(self, user: str, conversation: str) -> str:
        """Return the id from which a reader of the stream goes on who has read the conversation.

        "0", from which the stream says `reset` if need be, while Redis is away: reading goes on without it.
        """
        try:
            return str(await self.relay.last_id(user=user, conversation=conversation))
        except StoreError:
            return "0"

    async def forget_stream(self, user: str, conversation: str) -> None:
        """Forget the events of a conversation; they are forgotten by themselves when Redis is away."""
        with suppress(StoreError):
            await self.log.for_user(user).forget(conversation)

    async def erase(self, user: str) -> None:
        """Erase all that is kept of a user; what is being answered is stopped first. Raises StoreError."""
        for info in await self.assistant.conversations(user=user):
            if info.state == "open":
                await self.relay.stop(user=user, conversation=info.conversation)
        await self.assistant.erase_user(user)


def make_service(settings: Settings, *, model: Model | None = None) -> Service:
    """Put the parts together; nothing is opened yet. `model` answers in place of the one of the settings.

    Raises SettingsError, KeysUnusable, TLSError, ConfigurationError.
    """
    databases, keys = Databases.at(settings.database_url), KeyRing.from_file(settings.signing_keys)
    tls = None if settings.tls_dir is None else partial(client_context, settings.tls_dir, NAME)
    state, store = RedisState(settings.redis_url, prefix=f"{_PREFIX}:state"), databases.journals(settings.master_keys)
    masker = RuleMasker(StoreVault(databases.vault(settings.master_keys)))
    index = databases.index(settings.vectors_url)
    documents = make_documents(index, masker, largest=settings.largest_file)
    model = make_model(settings.model) if model is None else model
    tokens = ToolTokens(keys, settings.token_issuer)
    tool_servers = make_tool_servers(settings.tool_servers, tokens, tls)
    toolsets: Sequence[Toolset] = (*tool_servers, make_search(documents))
    metrics = PrometheusObserver(conditions=lambda: assistant.health().conditions, by_user=True)
    users, limits, artifacts = (
        Users(databases.users()),
        Limits(settings.limits, state),
        EncryptedArtifactStore(make_artifact_store(settings.files_url), settings.master_keys),
    )
    log, counted = RedisEventLog(settings.redis_url, prefix=f"{_PREFIX}:events"), WebMetrics()
    elsewhere = KeptElsewhere(settings.tool_servers, tokens, tls)
    others = Belongings([elsewhere, artifacts, log, *limits.keepers, KeptUsers(users)])
    guards = make_guards(settings, model, state, metrics, others)
    policies = guards.policies.chain()
    assistant = make_assistant(
        settings,
        model=model,
        store=store,
        tools=toolsets,
        policies=policies,
        masker=masker,
    )
    return Service(
        settings=settings,
        verifier=Verifier(
            settings.jwks_url,
            issuer=settings.token_issuer,
            audience=NAME,
            tls=tls() if tls is not None and settings.jwks_url.startswith("https:") else None,
        ),
        keys=keys,
        users=users,
        state=state,
        limits=limits,
        store=store,
        masker=masker,
        index=index,
        documents=documents,
        artifacts=artifacts,
        log=log,
        model=model,
        tool_servers=tool_servers,
        toolsets=toolsets,
        guards=guards,
        policies=policies,
        assistant=assistant,
        relay=Relay(
            assistant, log, settings=RelaySettings(every=1.0), tell=told_in_stream, add=with_citations, said=said
        ),
        metrics=counted,
        streams=Streams(counted),
    )


def _ping(value: bytes | None, _now: float) -> Changed[None]:
    """Change nothing."""
    return Changed(value=value, result=None)
