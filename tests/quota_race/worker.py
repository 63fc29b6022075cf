"""A process that makes calls when it is told, and says what became of them, in lines of JSON.

`{"quota": …, "limit": …, "runs": …, "hold": …}` is answered by `{"admitted": …, "refused": …}` when all calls are
decided; those that were admitted end by themselves, or with `hold` at the next line; then `{"ended": true}` is said.
"""

import json
import sys
from functools import partial

import anyio
import anyio.to_thread

from tests.quota_race.crowd import Outcome, crowd, opened, quotas


def say(**words: object) -> None:
    """Tell the driver."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def decided(outcome: Outcome) -> None:
    """Tell the driver what became of the calls."""
    say(admitted=outcome.admitted, refused=outcome.refused)


async def hear() -> str:
    """Wait for a line of the driver."""
    return await anyio.to_thread.run_sync(sys.stdin.readline)


async def serve(store: str, where: str, lease: float) -> None:
    """Work until the driver has nothing more to say."""
    state = opened(store, where)
    say(ready=True)
    while line := await hear():
        order = json.loads(line)
        shared = quotas(state, order["quota"], order["limit"], lease)
        async with anyio.create_task_group() as group:
            end = anyio.Event() if order["hold"] else None
            group.start_soon(partial(crowd, shared, order["runs"], decided=decided, end=end))
            if end is not None:
                await hear()
                end.set()
        say(ended=True)
    await state.aclose()


if __name__ == "__main__":
    loop, store, where, lease = sys.argv[1:]
    anyio.run(serve, store, where, float(lease), backend=loop)
