"""The newest master key for journals, vault and files: `python -m examples.flask_demo.orchestrator rotate`."""

from typing import TextIO

from anyio import to_thread

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.orchestrator.databases import Databases, users_of
from examples.flask_demo.orchestrator.users import Users
from examples.flask_demo.rotation import rotate_users


async def rotate(databases: Databases, files_url: str, keys: MasterKeys, out: TextIO) -> bool:
    """Rotate all users of whom anything is kept; tell whether all could be. Raises StoreError."""
    stores = [databases.journals(keys), databases.vault(keys)]
    files = EncryptedArtifactStore(make_artifact_store(files_url), keys)
    try:
        known = set(await to_thread.run_sync(_signed_in, databases))
        for store in stores:
            await store.open()
            known |= {user async for user in users_of(store)}
        return await rotate_users(sorted(known), [*stores, files], out)
    finally:
        for part in (*stores, files):
            await part.aclose()


def _signed_in(databases: Databases) -> list[str]:
    users = Users(databases.users())
    users.open()
    try:
        return users.ids()
    finally:
        users.close()
