"""A worker in a process of its own: `python -m tests.integrations.streaming.killed_worker REDIS_URL DATABASE PIECES`.

It begins a turn, or goes on with one, and prints a line when it is ready. Its model says so many pieces, slowly, and
then hangs; with 0 it answers at once.
"""

import sys
from collections.abc import Sequence

import anyio

from assistant_kit import Assistant, Settings
from assistant_kit.event_logs.redis import RedisEventLog
from assistant_kit.events import Token
from assistant_kit.integrations.streaming import Relay, RelaySettings
from assistant_kit.messages import AssistantMessage
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.settings import LeaseSettings
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.usage import Usage

ANSWER = "This is the whole answer."


class SlowModel:
    """Says some pieces and hangs, or answers."""

    name = "slow"

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del request
        for number in range(self.pieces):
            emit(Token(f"piece {number} "))
            await anyio.sleep(0.005)
        if self.pieces:
            await anyio.sleep_forever()
        emit(Token(ANSWER))
        return ModelResponse(items=(AssistantMessage(text=ANSWER),), usage=Usage(requests=1), model=self.name)

    async def aclose(self) -> None:
        pass


async def main(arguments: Sequence[str]) -> None:
    url, database, pieces = arguments
    settings = Settings(lease=LeaseSettings(ttl=1.0))
    log = RedisEventLog(url)
    async with (
        Assistant(SlowModel(int(pieces)), store=SQLiteStore(database), settings=settings) as assistant,
        Relay(assistant, log, settings=RelaySettings(every=0.1)) as relay,
    ):
        if int(pieces):
            await relay.start("Go on.", user="u", conversation="c", request_id="r")
        print("ready", flush=True)  # noqa: T201  (it is what the test waits for)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1:])
