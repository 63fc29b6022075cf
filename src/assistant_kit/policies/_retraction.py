"""Taking back what a reader has been shown of an answer that will not be finished."""

from assistant_kit.events import TextRetracted
from assistant_kit.protocols.policy import Call


def retract(call: Call) -> None:
    """Tell the reader that what was shown of the answer to `call` does not count; nothing when nothing was shown."""
    if call.progress.started:
        call.notify(TextRetracted(text=call.progress.retract()))
