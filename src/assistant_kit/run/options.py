"""What a call of `run` or `stream` may say beside the message."""

from typing import TypedDict


class RunOptions(TypedDict, total=False):
    """The options of a run.

    `conversation` asks for a `user`; `request_id` makes a repeated call return the recorded result; `timeout` is in
    seconds and replaces that of the settings.
    """

    user: str | None
    conversation: str | None
    request_id: str
    timeout: float | None
