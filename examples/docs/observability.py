"""The code of docs/observability.md: a run, and what observers show of it."""

import asyncio
import json
import logging
import sys

from assistant_kit import Assistant, ModelUnavailable, Policies, Retry, tool
from assistant_kit.observers.logging import LoggingObserver
from assistant_kit.observers.opentelemetry import OpenTelemetryObserver
from assistant_kit.observers.prometheus import PrometheusObserver
from assistant_kit.protocols.observer import Notice, Observer
from assistant_kit.testing.scripted_model import Call, CallTools, Fail, Say, ScriptedModel
from assistant_kit.usage import Usage


@tool(effect="read")
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"rain in {city}"


# --8<-- [start:policies]
def policies(*observers: Observer) -> Policies:
    return Policies(retry=Retry(attempts=2, base=0.01), observers=observers)


# --8<-- [end:policies]


# --8<-- [start:json]
class JsonLines(logging.Formatter):
    SHOWN = ("event", "model", "tool", "status", "outcome", "error", "attempt")

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({name: getattr(record, name) for name in self.SHOWN if hasattr(record, name)})


def log_to(handler: logging.Handler) -> None:
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("assistant_kit.observer")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


# --8<-- [end:json]


# --8<-- [start:own]
class Spending:
    """Adds up what each model has cost."""

    def __init__(self) -> None:
        self.nanodollars: dict[str, int] = {}

    def observe(self, notice: Notice) -> None:
        if notice.kind == "model_call_ended" and notice.cost is not None:
            model = notice.began.model
            self.nanodollars[model] = self.nanodollars.get(model, 0) + notice.cost


# --8<-- [end:own]


async def main() -> None:
    log_to(logging.StreamHandler(sys.stdout))
    used = Usage(requests=1, input_tokens=100, output_tokens=10)
    steps = [
        Fail(ModelUnavailable("down", model="openai:gpt-5.6-luna")),
        CallTools(Call("weather", {"city": "Oslo"}), usage=used),
        Say("It rains in Oslo.", usage=used),
    ]
    model, spending = ScriptedModel(steps, name="openai:gpt-5.6-luna"), Spending()
    # --8<-- [start:metrics]
    metrics = PrometheusObserver(conditions=lambda: assistant.health().conditions)
    assistant = Assistant(
        model,
        tools=[weather],
        policies=policies(metrics, LoggingObserver(), OpenTelemetryObserver(), spending),
    )
    # --8<-- [end:metrics]
    async with assistant:
        print((await assistant.run("Rain in Oslo?", user="ann")).output)
    text = metrics.render()  # for GET /metrics, with the content type observers.prometheus.CONTENT_TYPE
    for line in text.splitlines():
        if line.startswith(("assistant_model_calls_total", "assistant_tool_calls_total", "assistant_tokens_total")):
            print(line)
    print(spending.nanodollars)


if __name__ == "__main__":
    asyncio.run(main())
