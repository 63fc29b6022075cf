"""A language model in place of the rules, and what is logged of a request."""

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from assistant_kit import OpenAI
from examples.flask_demo.orchestrator.assistant import make_model
from examples.flask_demo.orchestrator.logging import set_up_logging
from examples.flask_demo.orchestrator.settings import ModelPlace
from examples.flask_demo.request_ids import HEADER
from examples.flask_demo.tracing import exporting
from tests.examples.web.orchestrator.world import Person, running, serving

pytestmark = pytest.mark.anyio


def model_server(asked: list[tuple[dict[str, str], dict[str, Any]]]) -> FastAPI:
    """Return a server that has Chat Completions, says hello, and notes what it was asked."""
    app = FastAPI()

    @app.post("/v1/responses")
    async def responses() -> JSONResponse:
        return JSONResponse({"detail": "Not Found"}, 404)

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> StreamingResponse:
        asked.append((dict(request.headers), await request.json()))
        return StreamingResponse(_hello(), media_type="text/event-stream")

    return app


async def _hello() -> AsyncIterator[str]:
    for piece, finish in (("Hel", None), ("lo", None), (None, "stop")):
        delta = {} if piece is None else {"role": "assistant", "content": piece}
        yield _written(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])
    yield _written(choices=[], usage={"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13})
    yield "data: [DONE]\n\n"


def _written(**fields: Any) -> str:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.6-luna"}
    return f"data: {json.dumps(chunk | fields)}\n\n"


async def test_the_model_is_told_the_id_of_the_request_and_is_bounded(tmp_path: Path, valkey_url: str) -> None:
    asked: list[tuple[dict[str, str], dict[str, Any]]] = []
    written, before = io.StringIO(), logging.getLogger().handlers[:]
    handler = set_up_logging("info", written)
    chosen, trace = "0123456789abcdef" * 2, "7" * 32
    try:
        async with serving(model_server(asked)) as url:
            model = make_model(ModelPlace(name="gpt-5.6-luna", key="sk-1", url=f"{url}/v1"))
            assert isinstance(model, OpenAI)
            async with running(tmp_path, valkey_url, model=model) as world:
                ann = world.person()
                conversation = await ann.begin()
                headers = {"Idempotency-Key": "k", HEADER: chosen, "traceparent": f"00-{trace}-{'2' * 16}-01"}
                path = f"/conversations/{conversation}/messages"
                answer = await ann.ask("POST", path, json={"text": "hello"}, headers=headers)
                assert answer.status_code == 200
                shown = await ann.get(f"/conversations/{conversation}")
                used = await ann.get("/usage")
    finally:
        logging.getLogger().handlers[:] = before
        handler.close()
    assert (shown["turns"][0]["text"], shown["turns"][0]["usage"]["output_tokens"]) == ("Hello", 2)
    assert (used["tokens"], 0 < used["cost_usd"] < 0.001, used["limits"]["cost"]["unit"]) == (13, True, "nanodollars")
    ((sent, body),) = asked
    assert (sent[HEADER.lower()], sent["traceparent"].split("-")[1]) == (chosen, trace)
    assert 800 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    records = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {record["service"] for record in records} == {"orchestrator"}
    of_request = [record for record in records if record.get("request_id") == chosen]
    assert {"model_call_ended", "run_ended"} <= {record["event"] for record in of_request}
    assert {record["trace_id"] for record in of_request} == {trace}
    assert "sk-1" not in written.getvalue()


async def test_a_message_that_leaves_no_room_for_an_answer_is_refused(ann: Person) -> None:
    conversation = await ann.begin()
    path, headers = f"/conversations/{conversation}/messages", {"Idempotency-Key": "k"}
    answer = await ann.ask("POST", path, json={"text": "語" * 8_000}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert (await ann.get(f"/conversations/{conversation}"))["turns"] == []


def test_without_an_endpoint_no_traces_are_exported() -> None:
    with exporting("orchestrator", None):
        pass
