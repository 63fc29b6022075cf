"""assistant_kit: assistants that use tools, for products that somebody answers for.

Names are loaded when they are first used, so that `import assistant_kit` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assistant_kit.public_names import PLACES as _PLACES

if TYPE_CHECKING:
    from assistant_kit.artifact_stores import make_artifact_store as make_artifact_store
    from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore as EncryptedArtifactStore
    from assistant_kit.artifact_stores.folder import FolderArtifactStore as FolderArtifactStore
    from assistant_kit.artifact_stores.memory import MemoryArtifactStore as MemoryArtifactStore
    from assistant_kit.artifact_stores.s3 import S3ArtifactStore as S3ArtifactStore
    from assistant_kit.assistant import Assistant as Assistant
    from assistant_kit.compactors.chain import Chain as Chain
    from assistant_kit.compactors.clear_results import ClearResults as ClearResults
    from assistant_kit.compactors.drop_oldest import DropOldest as DropOldest
    from assistant_kit.compactors.summarize import Summarize as Summarize
    from assistant_kit.context import Context as Context
    from assistant_kit.documents.citations import citations as citations
    from assistant_kit.documents.library import Documents as Documents
    from assistant_kit.documents.search_tool import DocumentSearch as DocumentSearch
    from assistant_kit.embedders.cached import CachedEmbedder as CachedEmbedder
    from assistant_kit.embedders.hashing import HashingEmbedder as HashingEmbedder
    from assistant_kit.embedders.openai import OpenAIEmbedder as OpenAIEmbedder
    from assistant_kit.embedders.small import SmallEmbedder as SmallEmbedder
    from assistant_kit.errors import ApprovalPending as ApprovalPending
    from assistant_kit.errors import AssistantKitError as AssistantKitError
    from assistant_kit.errors import BudgetExceeded as BudgetExceeded
    from assistant_kit.errors import CallRefused as CallRefused
    from assistant_kit.errors import CannotAsk as CannotAsk
    from assistant_kit.errors import CannotFit as CannotFit
    from assistant_kit.errors import CircuitOpen as CircuitOpen
    from assistant_kit.errors import ConfigurationError as ConfigurationError
    from assistant_kit.errors import ContextOverflow as ContextOverflow
    from assistant_kit.errors import ConversationBusy as ConversationBusy
    from assistant_kit.errors import ConversationConflict as ConversationConflict
    from assistant_kit.errors import ConversationExists as ConversationExists
    from assistant_kit.errors import ConversationNotFound as ConversationNotFound
    from assistant_kit.errors import DeadlineExceeded as DeadlineExceeded
    from assistant_kit.errors import DecryptionFailed as DecryptionFailed
    from assistant_kit.errors import DocumentUnreadable as DocumentUnreadable
    from assistant_kit.errors import DuplicateTool as DuplicateTool
    from assistant_kit.errors import IndexMismatch as IndexMismatch
    from assistant_kit.errors import InputError as InputError
    from assistant_kit.errors import Interrupted as Interrupted
    from assistant_kit.errors import InvalidArguments as InvalidArguments
    from assistant_kit.errors import InvalidTool as InvalidTool
    from assistant_kit.errors import LeaseLost as LeaseLost
    from assistant_kit.errors import MissingDependency as MissingDependency
    from assistant_kit.errors import ModelBroke as ModelBroke
    from assistant_kit.errors import ModelError as ModelError
    from assistant_kit.errors import ModelRateLimited as ModelRateLimited
    from assistant_kit.errors import ModelRejected as ModelRejected
    from assistant_kit.errors import ModelTimeout as ModelTimeout
    from assistant_kit.errors import ModelUnauthorized as ModelUnauthorized
    from assistant_kit.errors import ModelUnavailable as ModelUnavailable
    from assistant_kit.errors import ModelUnreachable as ModelUnreachable
    from assistant_kit.errors import NoAnswer as NoAnswer
    from assistant_kit.errors import NotTransactional as NotTransactional
    from assistant_kit.errors import OutcomeUnknown as OutcomeUnknown
    from assistant_kit.errors import OutputInvalid as OutputInvalid
    from assistant_kit.errors import Overloaded as Overloaded
    from assistant_kit.errors import ProjectionFailed as ProjectionFailed
    from assistant_kit.errors import QuotaExceeded as QuotaExceeded
    from assistant_kit.errors import RateLimitReached as RateLimitReached
    from assistant_kit.errors import RunError as RunError
    from assistant_kit.errors import StepLimitExceeded as StepLimitExceeded
    from assistant_kit.errors import StoreBusy as StoreBusy
    from assistant_kit.errors import StoreCorrupt as StoreCorrupt
    from assistant_kit.errors import StoreError as StoreError
    from assistant_kit.errors import StoreTooNew as StoreTooNew
    from assistant_kit.errors import StoreUnavailable as StoreUnavailable
    from assistant_kit.errors import StoreVolatile as StoreVolatile
    from assistant_kit.errors import ToolError as ToolError
    from assistant_kit.errors import ToolsetError as ToolsetError
    from assistant_kit.errors import TurnParked as TurnParked
    from assistant_kit.errors import UnknownModel as UnknownModel
    from assistant_kit.errors import UnknownStore as UnknownStore
    from assistant_kit.errors import UnreadableEntry as UnreadableEntry
    from assistant_kit.events import Event as Event
    from assistant_kit.handle import Conversation as Conversation
    from assistant_kit.indexes import make_search_index as make_search_index
    from assistant_kit.indexes.memory import MemoryIndex as MemoryIndex
    from assistant_kit.indexes.postgres.index import PostgresIndex as PostgresIndex
    from assistant_kit.indexes.sqlite.index import SQLiteIndex as SQLiteIndex
    from assistant_kit.integrations.serving import ServingSettings as ServingSettings
    from assistant_kit.integrations.serving import ToolServer as ToolServer
    from assistant_kit.integrations.serving import assistant_server as assistant_server
    from assistant_kit.integrations.serving import tool_server as tool_server
    from assistant_kit.maskers.memory_vault import MemoryVault as MemoryVault
    from assistant_kit.maskers.rules import RuleMasker as RuleMasker
    from assistant_kit.maskers.store_vault import StoreVault as StoreVault
    from assistant_kit.memories.extraction import ExtractionSettings as ExtractionSettings
    from assistant_kit.memories.extraction import ModelExtractor as ModelExtractor
    from assistant_kit.memories.indexed import IndexMemory as IndexMemory
    from assistant_kit.memories.indexed import MemorySettings as MemorySettings
    from assistant_kit.messages import File as File
    from assistant_kit.messages import Image as Image
    from assistant_kit.messages import Text as Text
    from assistant_kit.models.openai import OpenAI as OpenAI
    from assistant_kit.models.openai import OpenAIChat as OpenAIChat
    from assistant_kit.models.openai import OpenAIResponses as OpenAIResponses
    from assistant_kit.models.openai_counter import OpenAIRequestCounter as OpenAIRequestCounter
    from assistant_kit.models.rule_model import Rule as Rule
    from assistant_kit.models.rule_model import RuleModel as RuleModel
    from assistant_kit.observers.logging import LoggingObserver as LoggingObserver
    from assistant_kit.observers.observing import observed as observed
    from assistant_kit.observers.opentelemetry import OpenTelemetryObserver as OpenTelemetryObserver
    from assistant_kit.observers.prometheus import PrometheusObserver as PrometheusObserver
    from assistant_kit.policies.bulkhead import Adaptive as Adaptive
    from assistant_kit.policies.bulkhead import Bulkhead as Bulkhead
    from assistant_kit.policies.circuit_breaker import CircuitBreaker as CircuitBreaker
    from assistant_kit.policies.circuit_breaker import CircuitChange as CircuitChange
    from assistant_kit.policies.circuit_breaker import CountWindow as CountWindow
    from assistant_kit.policies.circuit_breaker import TimeWindow as TimeWindow
    from assistant_kit.policies.fallback import Backup as Backup
    from assistant_kit.policies.fallback import Fallback as Fallback
    from assistant_kit.policies.hedge import Hedge as Hedge
    from assistant_kit.policies.quota import Quota as Quota
    from assistant_kit.policies.quota import Quotas as Quotas
    from assistant_kit.policies.quota import Standing as Standing
    from assistant_kit.policies.rate_limit import RateLimit as RateLimit
    from assistant_kit.policies.retry import Retry as Retry
    from assistant_kit.policies.timeouts import Timeouts as Timeouts
    from assistant_kit.policy_chain import guarded as guarded
    from assistant_kit.prices import ModelPrice as ModelPrice
    from assistant_kit.prices import Prices as Prices
    from assistant_kit.prices import Rates as Rates
    from assistant_kit.protocols.artifact_store import Artifact as Artifact
    from assistant_kit.protocols.artifact_store import ArtifactNotFound as ArtifactNotFound
    from assistant_kit.protocols.artifact_store import ArtifactStore as ArtifactStore
    from assistant_kit.protocols.artifact_store import ArtifactTooLarge as ArtifactTooLarge
    from assistant_kit.protocols.caller import Caller as Caller
    from assistant_kit.protocols.masker import Masker as Masker
    from assistant_kit.protocols.masker import Vault as Vault
    from assistant_kit.protocols.policy import ConditionChanged as ConditionChanged
    from assistant_kit.protocols.projection import Projected as Projected
    from assistant_kit.protocols.projection import Projection as Projection
    from assistant_kit.protocols.store import ConversationInfo as ConversationInfo
    from assistant_kit.protocols.toolset import ToolContext as ToolContext
    from assistant_kit.protocols.toolset import ToolOutput as ToolOutput
    from assistant_kit.protocols.user_data import UserData as UserData
    from assistant_kit.recovery import Recovery as Recovery
    from assistant_kit.resilience import Health as Health
    from assistant_kit.resilience import Policies as Policies
    from assistant_kit.retry_budget import RetryBudget as RetryBudget
    from assistant_kit.run.history import HistoryStep as HistoryStep
    from assistant_kit.run.history import HistoryTurn as HistoryTurn
    from assistant_kit.run.result import CallResult as CallResult
    from assistant_kit.run.result import Result as Result
    from assistant_kit.run.stream import RunStream as RunStream
    from assistant_kit.settings import LeaseSettings as LeaseSettings
    from assistant_kit.settings import ModelSettings as ModelSettings
    from assistant_kit.settings import RecallSettings as RecallSettings
    from assistant_kit.settings import RecoverySettings as RecoverySettings
    from assistant_kit.settings import RunLimits as RunLimits
    from assistant_kit.settings import Settings as Settings
    from assistant_kit.settings import WindowSettings as WindowSettings
    from assistant_kit.shared_states.memory import MemoryState as MemoryState
    from assistant_kit.shared_states.postgres import PostgresState as PostgresState
    from assistant_kit.shared_states.redis import RedisState as RedisState
    from assistant_kit.shared_states.sqlite import SQLiteState as SQLiteState
    from assistant_kit.stores.encrypted import EncryptedStore as EncryptedStore
    from assistant_kit.stores.memory import MemoryStore as MemoryStore
    from assistant_kit.stores.postgres import PostgresStore as PostgresStore
    from assistant_kit.stores.projected import ProjectedStore as ProjectedStore
    from assistant_kit.stores.redis import RedisStore as RedisStore
    from assistant_kit.stores.sqlite import SQLiteStore as SQLiteStore
    from assistant_kit.token_counters.huggingface import HuggingFaceCounter as HuggingFaceCounter
    from assistant_kit.tool_selectors.embedding import EmbeddingSelector as EmbeddingSelector
    from assistant_kit.tool_selectors.keyword import KeywordSelector as KeywordSelector
    from assistant_kit.tool_spec import HostedTool as HostedTool
    from assistant_kit.tool_spec import keyed as keyed
    from assistant_kit.toolsets.functions import tool as tool
    from assistant_kit.toolsets.http_tools import HTTPTools as HTTPTools
    from assistant_kit.toolsets.mcp import MCPServer as MCPServer
    from assistant_kit.toolsets.mcp.client_side import MCPClient as MCPClient
    from assistant_kit.toolsets.mcp.oauth import MCPOAuth as MCPOAuth
    from assistant_kit.toolsets.mcp.resource_tools import ResourceTools as ResourceTools
    from assistant_kit.toolsets.memory_tools import MemoryTools as MemoryTools
    from assistant_kit.usage import Usage as Usage

__version__ = "0.1.0"
__all__ = [
    "Adaptive",
    "ApprovalPending",
    "Artifact",
    "ArtifactNotFound",
    "ArtifactStore",
    "ArtifactTooLarge",
    "Assistant",
    "AssistantKitError",
    "Backup",
    "BudgetExceeded",
    "Bulkhead",
    "CachedEmbedder",
    "CallRefused",
    "CallResult",
    "Caller",
    "CannotAsk",
    "CannotFit",
    "Chain",
    "CircuitBreaker",
    "CircuitChange",
    "CircuitOpen",
    "ClearResults",
    "ConditionChanged",
    "ConfigurationError",
    "Context",
    "ContextOverflow",
    "Conversation",
    "ConversationBusy",
    "ConversationConflict",
    "ConversationExists",
    "ConversationInfo",
    "ConversationNotFound",
    "CountWindow",
    "DeadlineExceeded",
    "DecryptionFailed",
    "DocumentSearch",
    "DocumentUnreadable",
    "Documents",
    "DropOldest",
    "DuplicateTool",
    "EmbeddingSelector",
    "EncryptedArtifactStore",
    "EncryptedStore",
    "Event",
    "ExtractionSettings",
    "Fallback",
    "File",
    "FolderArtifactStore",
    "HTTPTools",
    "HashingEmbedder",
    "Health",
    "Hedge",
    "HistoryStep",
    "HistoryTurn",
    "HostedTool",
    "HuggingFaceCounter",
    "Image",
    "IndexMemory",
    "IndexMismatch",
    "InputError",
    "Interrupted",
    "InvalidArguments",
    "InvalidTool",
    "KeywordSelector",
    "LeaseLost",
    "LeaseSettings",
    "LoggingObserver",
    "MCPClient",
    "MCPOAuth",
    "MCPServer",
    "Masker",
    "MemoryArtifactStore",
    "MemoryIndex",
    "MemorySettings",
    "MemoryState",
    "MemoryStore",
    "MemoryTools",
    "MemoryVault",
    "MissingDependency",
    "ModelBroke",
    "ModelError",
    "ModelExtractor",
    "ModelPrice",
    "ModelRateLimited",
    "ModelRejected",
    "ModelSettings",
    "ModelTimeout",
    "ModelUnauthorized",
    "ModelUnavailable",
    "ModelUnreachable",
    "NoAnswer",
    "NotTransactional",
    "OpenAI",
    "OpenAIChat",
    "OpenAIEmbedder",
    "OpenAIRequestCounter",
    "OpenAIResponses",
    "OpenTelemetryObserver",
    "OutcomeUnknown",
    "OutputInvalid",
    "Overloaded",
    "Policies",
    "PostgresIndex",
    "PostgresState",
    "PostgresStore",
    "Prices",
    "Projected",
    "ProjectedStore",
    "Projection",
    "ProjectionFailed",
    "PrometheusObserver",
    "Quota",
    "QuotaExceeded",
    "Quotas",
    "RateLimit",
    "RateLimitReached",
    "Rates",
    "RecallSettings",
    "Recovery",
    "RecoverySettings",
    "RedisState",
    "RedisStore",
    "ResourceTools",
    "Result",
    "Retry",
    "RetryBudget",
    "Rule",
    "RuleMasker",
    "RuleModel",
    "RunError",
    "RunLimits",
    "RunStream",
    "S3ArtifactStore",
    "SQLiteIndex",
    "SQLiteState",
    "SQLiteStore",
    "ServingSettings",
    "Settings",
    "SmallEmbedder",
    "Standing",
    "StepLimitExceeded",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreTooNew",
    "StoreUnavailable",
    "StoreVault",
    "StoreVolatile",
    "Summarize",
    "Text",
    "TimeWindow",
    "Timeouts",
    "ToolContext",
    "ToolError",
    "ToolOutput",
    "ToolServer",
    "ToolsetError",
    "TurnParked",
    "UnknownModel",
    "UnknownStore",
    "UnreadableEntry",
    "Usage",
    "UserData",
    "Vault",
    "WindowSettings",
    "assistant_server",
    "citations",
    "guarded",
    "keyed",
    "make_artifact_store",
    "make_search_index",
    "observed",
    "tool",
    "tool_server",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
