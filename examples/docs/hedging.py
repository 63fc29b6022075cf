"""An answer that does not begin in time is asked for a second time."""

import asyncio

from assistant_kit import Assistant, Hedge, Policies
from assistant_kit.testing.scripted_model import Delay, Say, ScriptedModel
from assistant_kit.usage import Usage


async def main() -> None:
    slow = Delay(30.0, Say("This one has waited in a queue."))
    quick = Say("Here is your answer.", usage=Usage(requests=1, input_tokens=80, output_tokens=5))
    with ScriptedModel([slow, quick]) as model:
        # --8<-- [start:hedge]
        assistant = Assistant(model, policies=Policies(hedge=Hedge(after=0.05)))
        # --8<-- [end:hedge]
        async with assistant:
            # --8<-- [start:ask]
            result = await assistant.run("A question.")
            print(result.output)
            print(result.usage.requests, "requests, all of it known:", result.usage.reported)
            for name, condition in assistant.health().conditions.items():
                if name.startswith("hedge model"):
                    print(f"{name}: {condition.state} {dict(condition.data)}")
            # --8<-- [end:ask]


if __name__ == "__main__":
    asyncio.run(main())
