# obstore's lists are typed for Arrow as well, which is not installed.
# pyright: reportUnknownMemberType=false

import socket
import sys
from contextlib import ExitStack
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import anyio
import anyio.to_thread
import obstore
import pytest

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores._rules import new_id, written
from assistant_kit.artifact_stores.s3 import S3ArtifactStore
from assistant_kit.errors import ConfigurationError, MissingDependency, StoreCorrupt, StoreUnavailable, UnknownStore
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound, ArtifactStore
from assistant_kit.testing.conformance.artifact_store import ArtifactStoreConformance, place_name
from assistant_kit.testing.conformance.artifact_store_workbench import NEVER_MADE, PATIENCE
from tests.artifact_stores.s3_place import s3_store
from tests.services.processes import free_port
from tests.services.s3 import S3Server

pytestmark = pytest.mark.anyio


class TestS3ArtifactStore(ArtifactStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server) -> None:
        self.server = s3_server

    async def open_store(self, folder: Path) -> ArtifactStore:
        return S3ArtifactStore(s3_store(self.server, place_name(folder)))


async def test_an_artifact_is_one_object_that_no_browser_shows_as_a_page(s3_server: S3Server, tmp_path: Path) -> None:
    place = s3_store(s3_server, place_name(tmp_path))
    artifact = await S3ArtifactStore(place).for_user("alice").put(b"<script>", name="../x", media_type="text/html")

    (entry,) = obstore.list(place).collect()
    got = obstore.get(place, entry["path"])
    assert got.attributes["Content-Type"] == "text/html"
    assert got.attributes["Content-Disposition"] == "attachment"
    assert bytes(got.bytes()) == b"<script>"
    assert entry["path"].split("/")[1:] == [artifact.id]
    assert "alice" not in entry["path"]


async def test_large_artifacts_go_in_parts_and_come_in_pieces(s3_server: S3Server, tmp_path: Path) -> None:
    alice = S3ArtifactStore(s3_store(s3_server, place_name(tmp_path))).for_user("alice")
    data = bytes(range(256)) * 21_000

    artifact = await alice.put(data, name="large")
    async with alice.open(artifact.id) as reader:
        sizes = [len(piece) async for piece in reader]

    assert sum(sizes) == len(data)
    assert len(sizes) > 1
    assert await alice.read(artifact.id) == data


async def test_what_others_have_put_there_is_left_alone_or_said_to_be_damaged(
    s3_server: S3Server, tmp_path: Path
) -> None:
    place = s3_store(s3_server, place_name(tmp_path))
    alice = S3ArtifactStore(place).for_user("alice")
    made = await alice.put(b"x", name="x")
    folder = obstore.list(place).collect()[0]["path"].rpartition("/")[0]
    obstore.put(place, f"{folder}/readme.txt", b"not ours")

    assert list(await alice.list()) == [made]
    for attributes in ({}, {"artifact": "%"}, {"artifact": "e30="}):
        obstore.put(place, f"{folder}/{NEVER_MADE}", b"whose?", attributes=attributes)
        with pytest.raises(StoreCorrupt):
            await alice.info(NEVER_MADE)
    assert await alice.erase() == 2
    assert obstore.list(place).collect() == []


async def test_bytes_that_are_not_those_that_were_put_are_not_returned(s3_server: S3Server, tmp_path: Path) -> None:
    place = s3_store(s3_server, place_name(tmp_path))
    alice = S3ArtifactStore(place).for_user("alice")
    made = await alice.put(b"right", name="x")
    (entry,) = obstore.list(place).collect()
    known = obstore.get(place, entry["path"]).attributes["artifact"]

    obstore.put(place, entry["path"], b"wrong", attributes={"artifact": known})
    with pytest.raises(StoreCorrupt):
        await alice.read(made.id)
    obstore.put(place, entry["path"], b"too long", attributes={"artifact": known})
    with pytest.raises(StoreCorrupt):
        await alice.info(made.id)


async def test_an_artifact_that_is_deleted_while_it_is_read_is_not_found(s3_server: S3Server, tmp_path: Path) -> None:
    alice = S3ArtifactStore(s3_store(s3_server, place_name(tmp_path))).for_user("alice")
    made = await alice.put(b"x" * 100, name="x")

    async with alice.open(made.id) as reader:
        await alice.delete(made.id)
        with pytest.raises(ArtifactNotFound):
            await anext(aiter(reader))


@pytest.mark.parametrize("case", ["no server", "no bucket"])
async def test_without_server_or_bucket_it_is_unavailable(s3_server: S3Server, case: str) -> None:
    nowhere = S3Server(url=f"http://127.0.0.1:{free_port()}")
    server, bucket = (nowhere, "tests") if case == "no server" else (s3_server, "not-made")
    store = S3ArtifactStore(s3_store(server, "x", bucket=bucket))
    alice = store.for_user("alice")

    with anyio.fail_after(PATIENCE):
        for ask in (
            store.check(),
            alice.put(b"x", name="x"),
            alice.info(NEVER_MADE),
            alice.list(),
            alice.delete(NEVER_MADE),
            alice.erase(),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await ask
            assert "a secret of tests" not in str(caught.value)


@pytest.mark.parametrize("what", ["put", "read"])
async def test_who_leaves_does_not_wait_for_a_server_that_hangs(what: str) -> None:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as deaf:
        alice = S3ArtifactStore(s3_store(S3Server(url=f"http://127.0.0.1:{deaf.getsockname()[1]}"), "x")).for_user("a")

        async def leave(scope: anyio.CancelScope) -> None:
            stack.enter_context((await anyio.to_thread.run_sync(deaf.accept))[0])
            scope.cancel()

        with anyio.fail_after(10):  # seconds; the client itself waits for twenty
            async with anyio.create_task_group() as group:
                group.start_soon(leave, group.cancel_scope)
                await (alice.put(b"x", name="x") if what == "put" else alice.read(NEVER_MADE))

        assert group.cancel_scope.cancelled_caught


async def test_an_address_names_bucket_and_prefix_and_the_environment_the_rest(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    prefix = place_name(tmp_path)
    store = make_artifact_store(f"s3://tests/{prefix}/deeper/")
    made = await store.for_user("alice").put(b"x", name="x")
    await store.check()

    paths = [entry["path"] for entry in obstore.list(s3_store(s3_server, prefix)).collect()]
    assert [path.split("/")[0] for path in paths] == ["deeper"]
    assert paths[0].endswith(made.id)
    assert "a secret of tests" not in repr(store)
    assert repr(make_artifact_store("s3://tests")) == 'S3ArtifactStore(S3Store(bucket="tests"))'


@pytest.mark.parametrize(
    "address", ["s3://", "s3:///prefix", "s3://bucket?x=1", "s3://bu cket", "s3://key:secret@host"]
)
def test_an_address_without_a_bucket_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        make_artifact_store(address)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownStore):
        S3ArtifactStore.from_address("s3:bucket")


def test_an_environment_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "nonsense")
    with pytest.raises(ConfigurationError):
        make_artifact_store("s3://bucket")


def test_the_longest_that_is_known_of_an_object_fits_into_its_metadata() -> None:
    artifact = Artifact(
        id=new_id(4e9),
        name="💧" * 255,
        media_type='a/b;c="' + "~" * 119 + '"',
        size=10**15,
        sha256="f" * 64,
        created_at=1234567890.1234567,
    )
    assert len("artifact") + (len(written(artifact)) + 2) // 3 * 4 <= 2048  # bytes; S3 refuses more


def test_without_its_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_spec("assistant_kit.artifact_stores.s3")
    assert found
    assert found.origin
    again = spec_from_file_location("s3_again", found.origin)
    assert again
    assert again.loader
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(MissingDependency) as caught:
        again.loader.exec_module(module_from_spec(again))

    assert (caught.value.package, caught.value.extra) == ("obstore", "s3")
