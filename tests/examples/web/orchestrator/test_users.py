"""The table of users."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.flask_demo.environment import SettingsError
from examples.flask_demo.orchestrator.belongings import KeptUsers
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.users import Users

pytestmark = pytest.mark.anyio


async def test_somebody_is_noted_once_and_forgotten(tmp_path: Path) -> None:
    users = Users(Databases.at(f"sqlite:///{tmp_path / 'web.db'}").users())
    users.open()
    users.seen("u_1")
    users.seen("u_1")
    found = users.get("u_1")
    assert found is not None
    assert found.first_seen == found.last_seen
    users.forget("u_1")
    assert [kept async for kept in KeptUsers(users).export_user("u_1")] == []
    users.seen("u_1")
    assert users.get("u_1") is not None
    users.close()


def test_instances_that_start_together_make_one_table(tmp_path: Path) -> None:
    tables = [Users(Databases.at(f"sqlite:///{tmp_path / 'web.db'}").users()) for _ in range(4)]

    def begin(users: Users) -> None:
        users.open()
        users.seen("u_1")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, tables))
    assert all(users.get("u_1") is not None for users in tables)
    for users in tables:
        users.close()


def test_it_may_be_in_postgres(postgres_url: str) -> None:
    users = Users(Databases.at(postgres_url).users())
    users.open()
    users.open()
    users.ping()
    users.seen("u_web_orchestrator")
    assert users.get("u_web_orchestrator") is not None
    users.forget("u_web_orchestrator")
    users.close()


@pytest.mark.parametrize("address", ["mysql://host/db", "nothing", "sqlite://"])
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Databases.at(address)
