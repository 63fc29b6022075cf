"""What a call of `run` or `stream` may say beside the message."""

from typing import TypedDict

from assistant_kit.protocols.policy import Priority
from assistant_kit.settings import OnBusy


class ConversationOptions(TypedDict, total=False):
    """The options of a run in a conversation.

    `request_id` makes a repeated call return the recorded result; `timeout` is in seconds and replaces that of the
    settings, and so does `on_busy`, which says what to do when another run holds the conversation. `priority` says
    whether somebody waits for the answer: under load, what is done in the background waits longer, and is shed first.
    """

    request_id: str
    timeout: float | None
    on_busy: OnBusy
    priority: Priority


class RunOptions(ConversationOptions, total=False):
    """The options of a run. `conversation` asks for a `user`."""

    user: str | None
    conversation: str | None
