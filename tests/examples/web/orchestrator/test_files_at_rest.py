"""Uploaded files are encrypted where they are kept, and come back for their user alone."""

from pathlib import Path

import pytest

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.testing.no_leak import LeakFound, assert_no_leak
from tests.examples.web.orchestrator.world import front_end, orchestrator, running, settings_in

pytestmark = pytest.mark.anyio

BODY = b"# Diagnosis\n\nThe patient was seen on Tuesday.\n" * 2000
HIDDEN = ("patient was seen", "diagnosis of carla.md", "text/markdown")


async def test_neither_bytes_nor_name_of_an_upload_are_where_files_are_kept(tmp_path: Path, valkey_url: str) -> None:
    async with running(tmp_path, valkey_url) as world:
        ann = world.person()
        made = (await ann.upload("diagnosis of carla.md", BODY)).json()
        (shown,) = (await ann.get("/files"))["files"]
        answer = await ann.ask("GET", f"/files/{made['id']}")

        assert shown["name"] == "diagnosis of carla.md"
        assert answer.content == BODY
        assert assert_no_leak(tmp_path / "files", [*HIDDEN, ann.id]) > len(BODY)

    plain = make_artifact_store((tmp_path / "plain").as_uri())
    await plain.for_user(ann.id).put(BODY, name="diagnosis of carla.md", media_type="text/markdown")
    with pytest.raises(LeakFound):
        assert_no_leak(tmp_path / "plain", HIDDEN)


async def test_another_process_with_the_same_keys_has_the_files(tmp_path: Path, valkey_url: str) -> None:
    async with front_end() as jwks:
        settings = settings_in(tmp_path, valkey_url, jwks)
        async with orchestrator(settings) as world:
            ann = world.person()
            made = (await ann.upload("a.md", BODY)).json()
        async with orchestrator(settings) as world:
            later = type(ann)(id=ann.id, http=world.http)
            assert (await later.ask("GET", f"/files/{made['id']}")).content == BODY
            assert (await world.person().ask("GET", f"/files/{made['id']}")).status_code == 404


async def test_an_erased_user_leaves_no_file(tmp_path: Path, valkey_url: str) -> None:
    async with running(tmp_path, valkey_url) as world:
        ann = world.person()
        await ann.upload("a.md", BODY)
        assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] != []
        answer = await ann.ask("DELETE", "/user")

        assert answer.status_code == 204, answer.text
        assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
