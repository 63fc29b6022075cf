"""Everything this library raises. Errors carry data; their text says what happened, where, and what to do.

AssistantKitError
├── ConfigurationError            the program is set up wrong; nothing was sent
│   ├── UnknownModel              a model string that names no known provider
│   ├── UnknownStore              a store address with a scheme that is not known
│   ├── DuplicateTool             two tools with one name
│   ├── InvalidTool               a function that cannot be made a tool
│   ├── MissingDependency         an optional package is not installed
│   ├── NotTransactional          a transactional tool or a projection, and a store without transactions
│   ├── StoreVolatile             the store would lose what it has acknowledged
│   └── IndexMismatch             the vectors of an index come from another embedder
├── InputError                    what the caller passed to a run cannot be used; nothing was sent
│   ├── CannotFit                 a part of the request is larger than the window allows
│   └── DocumentUnreadable        a document is damaged, encrypted, too large, or of a format that is not known
├── ModelError                    the provider or the way to it failed
│   ├── ModelUnreachable          no connection, or it broke before an answer began
│   ├── ModelTimeout              no answer in time
│   ├── ModelUnauthorized         wrong key, or no permission
│   ├── ModelRateLimited          too many requests or no quota left; `retry_after` seconds
│   ├── ModelRejected             the provider refuses the request as it is
│   │   └── ContextOverflow       because it is longer than the model's context window
│   ├── ModelUnavailable          the provider failed on its side
│   └── ModelBroke                an answer that is no answer: cut off, malformed, reported as failed
├── RunError                      the run cannot go on
│   ├── DeadlineExceeded          the time for the run is over
│   ├── StepLimitExceeded         more model calls than the run may make
│   ├── OutputInvalid             structured output that does not validate; carries the text
│   ├── ApprovalPending           the conversation waits for a decision on a tool call
│   ├── TurnParked                the last turn was given up on after several attempts; somebody has to look
│   └── Interrupted               a recorded turn ended without an answer
├── CallRefused                   a policy did not let a call through; nothing was sent
│   ├── CircuitOpen               what is called has failed too often lately
│   ├── Overloaded                too many calls at once
│   ├── RateLimitReached          the rate that is allowed would be passed
│   ├── QuotaExceeded             a quota would be passed; says what is left and when it resets
│   └── BudgetExceeded            the budget of the run would be passed
├── ToolError                     raised by tools: its text is for the model to read
│   ├── InvalidArguments          the arguments of a call do not fit the tool
│   ├── OutcomeUnknown            the call was sent and nobody can tell whether it took effect
│   ├── CannotAsk                 the caller of a served tool takes no questions of this kind
│   └── NoAnswer                  the caller of a served tool was asked and gives no answer
├── ToolsetError                  a source of tools cannot be used
└── StoreError                    a journal or a search index cannot be read or written
    ├── StoreUnavailable          no such place, no permission, no connection
    ├── StoreBusy                 another process holds the store for too long; try again
    ├── StoreCorrupt              what is there is not a store, or is damaged
    ├── StoreTooNew               written by a newer version of this library
    ├── UnreadableEntry           one journal entry cannot be read; names it
    ├── DecryptionFailed          an encrypted record does not open: wrong key, or changed
    ├── ProjectionFailed          the application's own rows could not be written, and so nothing was
    ├── ConversationExists        this user has a conversation of this name already
    ├── ConversationNotFound      this user has no such conversation
    ├── ConversationBusy          another run holds the conversation
    ├── ConversationConflict      somebody else has written meanwhile
    └── LeaseLost                 the right to write has passed to another run
"""

from assistant_kit.errors.model import ContextOverflow as ContextOverflow
from assistant_kit.errors.model import ModelBroke as ModelBroke
from assistant_kit.errors.model import ModelError as ModelError
from assistant_kit.errors.model import ModelRateLimited as ModelRateLimited
from assistant_kit.errors.model import ModelRejected as ModelRejected
from assistant_kit.errors.model import ModelTimeout as ModelTimeout
from assistant_kit.errors.model import ModelUnauthorized as ModelUnauthorized
from assistant_kit.errors.model import ModelUnavailable as ModelUnavailable
from assistant_kit.errors.model import ModelUnreachable as ModelUnreachable
from assistant_kit.errors.policy import BudgetExceeded as BudgetExceeded
from assistant_kit.errors.policy import CallRefused as CallRefused
from assistant_kit.errors.policy import CircuitOpen as CircuitOpen
from assistant_kit.errors.policy import Overloaded as Overloaded
from assistant_kit.errors.policy import QuotaExceeded as QuotaExceeded
from assistant_kit.errors.policy import RateLimitReached as RateLimitReached
from assistant_kit.errors.root import AssistantKitError as AssistantKitError
from assistant_kit.errors.run import ApprovalPending as ApprovalPending
from assistant_kit.errors.run import CannotAsk as CannotAsk
from assistant_kit.errors.run import DeadlineExceeded as DeadlineExceeded
from assistant_kit.errors.run import Interrupted as Interrupted
from assistant_kit.errors.run import InvalidArguments as InvalidArguments
from assistant_kit.errors.run import NoAnswer as NoAnswer
from assistant_kit.errors.run import OutcomeUnknown as OutcomeUnknown
from assistant_kit.errors.run import OutputInvalid as OutputInvalid
from assistant_kit.errors.run import RunError as RunError
from assistant_kit.errors.run import StepLimitExceeded as StepLimitExceeded
from assistant_kit.errors.run import ToolError as ToolError
from assistant_kit.errors.run import ToolsetError as ToolsetError
from assistant_kit.errors.run import TurnParked as TurnParked
from assistant_kit.errors.setup import CannotFit as CannotFit
from assistant_kit.errors.setup import ConfigurationError as ConfigurationError
from assistant_kit.errors.setup import DocumentUnreadable as DocumentUnreadable
from assistant_kit.errors.setup import DuplicateTool as DuplicateTool
from assistant_kit.errors.setup import IndexMismatch as IndexMismatch
from assistant_kit.errors.setup import InputError as InputError
from assistant_kit.errors.setup import InvalidTool as InvalidTool
from assistant_kit.errors.setup import MissingDependency as MissingDependency
from assistant_kit.errors.setup import NotTransactional as NotTransactional
from assistant_kit.errors.setup import StoreVolatile as StoreVolatile
from assistant_kit.errors.setup import UnknownModel as UnknownModel
from assistant_kit.errors.setup import UnknownStore as UnknownStore
from assistant_kit.errors.store import ConversationBusy as ConversationBusy
from assistant_kit.errors.store import ConversationConflict as ConversationConflict
from assistant_kit.errors.store import ConversationExists as ConversationExists
from assistant_kit.errors.store import ConversationNotFound as ConversationNotFound
from assistant_kit.errors.store import DecryptionFailed as DecryptionFailed
from assistant_kit.errors.store import LeaseLost as LeaseLost
from assistant_kit.errors.store import ProjectionFailed as ProjectionFailed
from assistant_kit.errors.store import StoreBusy as StoreBusy
from assistant_kit.errors.store import StoreCorrupt as StoreCorrupt
from assistant_kit.errors.store import StoreError as StoreError
from assistant_kit.errors.store import StoreTooNew as StoreTooNew
from assistant_kit.errors.store import StoreUnavailable as StoreUnavailable
from assistant_kit.errors.store import UnreadableEntry as UnreadableEntry
