"""What operators may ask, and what goes on while a dependency is away."""

import io
import logging
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from signal import Signals

import anyio
import pytest
from anyio import to_thread

from examples.flask_demo.orchestrator.__main__ import main
from examples.flask_demo.orchestrator.audit import verify_users
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.settings import Settings
from examples.flask_demo.service_tokens import PUBLISHED
from tests.examples.web.orchestrator.world import Person, World, orchestrator, running, settings_in, text_of
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio


async def test_health_readiness_and_keys(world: World) -> None:
    assert (await world.admin.get("/health")).json() == {"status": "ok"}
    ready = await world.admin.get("/ready")
    assert (ready.status_code, ready.json()["dependencies"]) == (
        200,
        {"process": "ok", "database": "ok", "redis": "ok"},
    )
    keys = (await world.admin.get(PUBLISHED)).json()["keys"]
    assert [(key["alg"], "d" in key) for key in keys] == [("ES256", False)]
    assert (await world.http.get("/metrics")).status_code == 404  # not where users are


async def test_what_is_counted(world: World, ann: Person) -> None:
    await ann.say(await ann.begin(), "count to 3")
    text = (await world.admin.get("/metrics")).text
    for line in (
        'web_requests_total{method="POST",route="/api/v1/conversations",status="201"}',
        'web_request_seconds_count{route="/api/v1/conversations/{conversation}/messages"}',
        "web_stream_readers 0",
        'assistant_runs_total{assistant="web",status="completed"}',
        'assistant_added_first_token_seconds_count{assistant="web"}',
    ):
        assert line in text
    assert ann.id not in text.replace(f'user="{ann.id}"', "")


async def test_without_redis_conversations_are_read_and_nothing_else(tmp_path: Path) -> None:
    place = partial(running_valkey, folder=tmp_path / "valkey", port=free_port(), stop=Signals.SIGKILL)
    (tmp_path / "valkey").mkdir()
    async with AsyncExitStack() as stack:
        with place() as url:
            world = await stack.enter_async_context(running(tmp_path, url))
            ann = world.person()
            conversation = await ann.begin("mine")
            assert text_of(await ann.say(conversation, "count to 3")) == "1 2 3"
        shown = await ann.get(f"/conversations/{conversation}")
        assert (shown["title"], shown["turns"][0]["text"]) == ("mine", "1 2 3")
        for method, path in (
            ("POST", "/conversations"),
            ("POST", f"/conversations/{conversation}/messages"),
            ("GET", f"/conversations/{conversation}/events"),
            ("GET", "/usage"),
        ):
            answer = await ann.ask(method, path, json={"text": "hello"}, headers={"Idempotency-Key": "k"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable"), path
            assert int(answer.headers["Retry-After"]) > 0
        ready = await world.admin.get("/ready")
        assert (ready.status_code, ready.json()["dependencies"]["redis"]) == (503, "unavailable")
        with place():
            assert text_of(await ann.say(conversation, "count to 4")) == "1 2 3 4"
            assert (await world.admin.get("/ready")).status_code == 200


async def test_an_instance_that_stops_ends_its_streams_and_says_so(tmp_path: Path, valkey_url: str) -> None:
    async with running(tmp_path, valkey_url) as world:
        ann = world.person()
        conversation = await ann.begin()
        with anyio.fail_after(10):  # sooner than a stream looks again by itself
            async with ann.follow(conversation) as events, anyio.create_task_group() as group:

                async def read() -> None:
                    assert [event async for event in events] == []

                group.start_soon(read)
                while "web_stream_readers 1" not in (await world.admin.get("/metrics")).text:
                    pass
                world.parts.drain()
            async with ann.follow(conversation) as events:
                assert [event async for event in events] == []
        ready = await world.admin.get("/ready")
        assert (ready.status_code, ready.json()["dependencies"]["process"]) == (503, "stopping")
        assert (await ann.get("/conversations"))["conversations"] != []


async def test_all_may_be_in_postgres(tmp_path: Path, valkey_url: str, postgres_url: str) -> None:
    async with running(tmp_path, valkey_url, database_url=postgres_url) as world:
        ann = world.person()
        assert (await ann.upload("a.md", b"The parcel weighs nine kilograms.")).status_code == 201
        conversation = await ann.begin("mine")
        events = await ann.say(conversation, "How much does the parcel weigh?")
        assert "nine kilograms" in text_of(events)
        assert [one["title"] for one in (await ann.get("/conversations"))["conversations"]] == ["mine"]
        report = io.StringIO()
        assert await verify_users(Databases.at(postgres_url).kept(), ann.id, report), report.getvalue()
        assert (await ann.ask("DELETE", "/user")).status_code == 204
        assert (await ann.get("/conversations"))["conversations"] == []


async def test_while_nobody_can_be_told_from_anybody_nothing_is_answered(tmp_path: Path, valkey_url: str) -> None:
    async with orchestrator(settings_in(tmp_path, valkey_url, "http://127.0.0.1:9/jwks")) as world:
        answer = await world.person().ask("GET", "/conversations")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_a_process_that_cannot_listen_as_it_should_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger().handlers[:]
    settings = settings_in(tmp_path, "redis://127.0.0.1:9/0", "http://127.0.0.1:9/jwks", tls_dir=tmp_path / "none")

    def given(_: object) -> Settings:
        return settings

    monkeypatch.setattr("examples.flask_demo.orchestrator.__main__.read_settings", given)
    try:
        assert await to_thread.run_sync(main, list[str]()) == 2
    finally:
        logging.getLogger().handlers[:] = before
    assert "certificates" in capsys.readouterr().err
