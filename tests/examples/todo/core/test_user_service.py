"""Users sign up and log in; a refresh token is used once, and one that was used twice ends its family."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from argon2 import PasswordHasher
from sqlmodel import col, func, select, update

from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import Conversation, Message, RefreshToken, Role, Task, TaskRequest, User
from examples.todo_chatbot.models.columns import now
from examples.todo_chatbot.services.conversation_service import ConversationService
from examples.todo_chatbot.services.errors import Conflict, Invalid, NotFound, Unauthorized
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import (
    EMAIL_LIMIT,
    PASSWORD_LEAST,
    PASSWORD_LIMIT,
    REFRESH_LIFE,
    Login,
    UserService,
)
from tests.examples.todo.core.databases import QUICK

PASSWORD = "correct horse"


@pytest.fixture
def users(database: Database) -> UserService:
    return UserService(database, Passwords(QUICK))


@pytest.fixture
def email() -> str:
    return f"ada-{uuid4().hex}@example.org"


def test_who_signed_up_can_log_in(users: UserService, email: str) -> None:
    signed = users.sign_up(f" {email.upper()} ", PASSWORD)
    assert users.exists(signed.user)
    logged = users.log_in(email.title(), PASSWORD)
    assert logged.user == signed.user
    assert logged.refresh_token != signed.refresh_token
    assert abs(logged.refresh_expires_at - now() - REFRESH_LIFE).total_seconds() < 60


def test_only_hashes_are_kept(database: Database, users: UserService, email: str) -> None:
    signed = users.sign_up(email, PASSWORD)
    with database.reading() as session:
        user = session.get_one(User, signed.user)
        [token] = session.exec(select(RefreshToken).where(RefreshToken.user_id == signed.user))
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$")
    assert signed.refresh_token not in token.token_hash


def test_an_address_signs_up_once(users: UserService, email: str) -> None:
    users.sign_up(email, PASSWORD)
    with pytest.raises(Conflict):
        users.sign_up(email.upper(), "another password")
    with pytest.raises(Unauthorized):
        users.log_in(email, "another password")


def test_eight_threads_sign_one_address_up_once(users: UserService, email: str) -> None:
    def sign_up(_: int) -> Login | None:
        try:
            return users.sign_up(email, PASSWORD)
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as threads:
        assert len([login for login in threads.map(sign_up, range(8)) if login]) == 1


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@b.c", "a b@c.d", "a@b@c.d", "a\0@b.c", "\ud800@b.c", "a@b." + "c" * EMAIL_LIMIT]
)
def test_what_is_no_address_is_refused_and_known_to_nobody(users: UserService, email: str) -> None:
    with pytest.raises(Invalid):
        users.sign_up(email, PASSWORD)
    with pytest.raises(Unauthorized):
        users.log_in(email, PASSWORD)


@pytest.mark.parametrize("password", ["", "x" * (PASSWORD_LEAST - 1), "x" * (PASSWORD_LIMIT + 1), "\ud800" * 12])
def test_a_password_that_cannot_be_is_refused(users: UserService, email: str, password: str) -> None:
    with pytest.raises(Invalid):
        users.sign_up(email, password)
    users.sign_up(email, PASSWORD)
    with pytest.raises(Unauthorized):
        users.log_in(email, password)


def test_a_wrong_password_and_an_unknown_address_are_one_answer(users: UserService, email: str) -> None:
    users.sign_up(email, PASSWORD)
    said: set[str] = set()
    for who, password in ((email, "wrong password"), (f"x{email}", PASSWORD)):
        with pytest.raises(Unauthorized) as caught:
            users.log_in(who, password)
        said.add(str(caught.value))
    assert len(said) == 1


def test_a_hash_with_older_parameters_is_made_anew_at_log_in(
    database: Database, users: UserService, email: str
) -> None:
    user = users.sign_up(email, PASSWORD).user
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    with database.writing() as session:
        session.get_one(User, user).password_hash = old
    with pytest.raises(Unauthorized):
        users.log_in(email, "wrong password")
    users.log_in(email, PASSWORD)
    with database.reading() as session:
        made = session.get_one(User, user).password_hash
    assert made is not None
    assert made != old
    users.log_in(email, PASSWORD)


def test_a_refresh_token_is_exchanged_again_and_again(users: UserService, email: str) -> None:
    login = users.sign_up(email, PASSWORD)
    seen = {login.refresh_token}
    for _ in range(3):
        again = users.refresh(login.refresh_token)
        assert again.user == login.user
        seen.add(again.refresh_token)
        login = again
    assert len(seen) == 4


def test_a_refresh_token_used_twice_ends_its_family_and_no_other(users: UserService, email: str) -> None:
    first, elsewhere = users.sign_up(email, PASSWORD), users.log_in(email, PASSWORD)
    second = users.refresh(first.refresh_token)
    third = users.refresh(second.refresh_token)
    for stolen in (first, second, third):
        with pytest.raises(Unauthorized):
            users.refresh(stolen.refresh_token)
    assert users.refresh(elsewhere.refresh_token).user == first.user


def test_a_refresh_token_in_eight_threads_gives_one_log_in(users: UserService, email: str) -> None:
    token = users.sign_up(email, PASSWORD).refresh_token

    def refresh(_: int) -> Login | None:
        try:
            return users.refresh(token)
        except Unauthorized:
            return None

    with ThreadPoolExecutor(8) as threads:
        logins = [login for login in threads.map(refresh, range(8)) if login]
    assert len(logins) == 1
    with pytest.raises(Unauthorized):
        users.refresh(logins[0].refresh_token)


def test_a_refresh_token_ends_with_its_time(database: Database, users: UserService, email: str) -> None:
    login = users.sign_up(email, PASSWORD)
    with database.writing() as session:
        session.exec(update(RefreshToken).where(col(RefreshToken.user_id) == login.user).values(expires_at=now()))
    with pytest.raises(Unauthorized):
        users.refresh(login.refresh_token)
    users.log_in(email, PASSWORD)
    with database.reading() as session:
        count = select(func.count()).select_from(RefreshToken).where(RefreshToken.user_id == login.user)
        assert session.exec(count).one() == 1


def test_who_logs_out_is_out_and_may_do_so_twice(users: UserService, email: str) -> None:
    login = users.sign_up(email, PASSWORD)
    again = users.refresh(login.refresh_token)
    for _ in range(2):
        users.log_out(again.refresh_token)
        with pytest.raises(Unauthorized):
            users.refresh(again.refresh_token)
    users.log_out("never given out \ud800")


def test_a_user_of_the_terminal_has_a_name_and_no_password(users: UserService) -> None:
    name = f"Local-{uuid4().hex}"
    user = users.named(name)
    assert users.named(f" {name.lower()} ") == user
    assert users.named(str(user)) == user
    for password in ("", PASSWORD):
        with pytest.raises(Unauthorized):
            users.log_in(name, password)


def test_the_terminal_finds_who_signed_up_and_makes_nobody_up(users: UserService, email: str) -> None:
    with pytest.raises(NotFound):
        users.named(email)
    with pytest.raises(NotFound):
        users.named(str(uuid4()))
    user = users.sign_up(email, PASSWORD).user
    assert users.named(email.upper()) == user
    assert users.named(str(user)) == user


def test_eight_threads_make_a_user_of_the_terminal_once(users: UserService) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(users.named, [f"local-{uuid4().hex}"] * 8))) == 1


@pytest.mark.parametrize("name", ["", " ", "x" * (EMAIL_LIMIT + 1), "a\0b", "\udcff"])
def test_a_name_that_cannot_be_is_refused(users: UserService, name: str) -> None:
    with pytest.raises(Invalid):
        users.named(name)


def test_a_deleted_user_leaves_no_row(database: Database, users: UserService, email: str, eve: UUID) -> None:
    login = users.sign_up(email, PASSWORD)
    for user in (login.user, eve):
        TaskService(database).add(user, "a", request_key="k")
        conversation = ConversationService(database).create(user).id
        with database.writing() as session:
            session.add(Message(user_id=user, conversation_id=conversation, role=Role.USER, content="hello"))
    users.delete(login.user)
    assert not users.exists(login.user)
    with database.reading() as session:
        for table in (Task, TaskRequest, Conversation, Message, RefreshToken):
            kept = session.exec(select(table.user_id).where(col(table.user_id).in_([login.user, eve]))).all()
            assert set(kept) <= {eve}
            assert bool(kept) == (table is not RefreshToken)
    with pytest.raises(NotFound):
        users.delete(login.user)
    with pytest.raises(Unauthorized):
        users.refresh(login.refresh_token)
    with pytest.raises(Unauthorized):
        users.log_in(email, PASSWORD)
