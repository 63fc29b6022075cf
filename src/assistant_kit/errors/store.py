"""What goes wrong with a journal or a search index."""

from assistant_kit.errors.root import AssistantKitError


class StoreError(AssistantKitError):
    """The journal cannot be read or written."""


class StoreUnavailable(StoreError):
    """There is no such place, no permission, or no connection."""


class StoreBusy(StoreError):
    """Another process holds the store for too long; trying again is safe."""


class StoreCorrupt(StoreError):
    """What is there is not a store of this library, or it is damaged."""


class StoreTooNew(StoreError):
    """Written by a newer version of this library."""

    def __init__(self, place: str, *, found: int, supported: int) -> None:
        super().__init__(f"{place} has schema version {found}, and this assistant_kit knows {supported}: upgrade it")
        self.place = place
        self.found = found
        self.supported = supported


class UnreadableEntry(StoreError):
    """One journal entry cannot be read."""

    def __init__(self, conversation: str, seq: int, problem: str) -> None:
        super().__init__(f"entry {seq} of conversation {conversation!r} cannot be read: {problem}")
        self.conversation = conversation
        self.seq = seq
        self.problem = problem


class DecryptionFailed(StoreError):
    """An encrypted record does not open; nothing was changed. `seq` is None when it is no record of the journal."""

    def __init__(self, conversation: str, seq: int | None, problem: str) -> None:
        place = f"conversation {conversation!r}" if seq is None else f"record {seq} of conversation {conversation!r}"
        super().__init__(f"{place} cannot be decrypted: {problem}")
        self.conversation = conversation
        self.seq = seq
        self.problem = problem


class ProjectionFailed(StoreError):
    """What writes the application's rows beside a journal has raised `cause`, the name of a class; see `__cause__`.

    Nothing was written, neither rows nor records.
    """

    def __init__(self, projection: str, conversation: str, cause: str) -> None:
        super().__init__(
            f"projection {projection!r} raised {cause} for conversation {conversation!r}, and nothing was written: "
            "when it is mended, write again"
        )
        self.projection = projection
        self.conversation = conversation
        self.cause = cause


class ConversationExists(StoreError):
    """This user has a conversation of this name already."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"this user has a conversation {conversation!r} already: give another name, or delete it")
        self.conversation = conversation


class ConversationNotFound(StoreError):
    """This user has no such conversation."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"this user has no conversation {conversation!r}")
        self.conversation = conversation


class ConversationBusy(StoreError):
    """Another run holds the conversation, for `retry_after` seconds at most."""

    def __init__(self, conversation: str, retry_after: float) -> None:
        super().__init__(f"another run holds {conversation!r} for up to {retry_after:.1f} s: see LeaseSettings(wait=…)")
        self.conversation = conversation
        self.retry_after = retry_after


class ConversationConflict(StoreError):
    """Somebody else has written to the conversation meanwhile: entry `expected` is not the next one."""

    def __init__(self, conversation: str, *, expected: int, found: int) -> None:
        super().__init__(f"conversation {conversation!r} has {found} entries and not {expected}: read it again")
        self.conversation = conversation
        self.expected = expected
        self.found = found


class LeaseLost(StoreError):
    """The right to write to the conversation has passed to another run."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"the lease on conversation {conversation!r} was lost: the run stopped before its next effect")
        self.conversation = conversation
