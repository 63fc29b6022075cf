"""Of a password only an Argon2id hash is kept, with parameters that hold."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from examples.todo_chatbot.auth.passwords import Passwords
from tests.examples.todo.core.databases import QUICK

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords(QUICK)


def test_a_hash_fits_its_password_alone(passwords: Passwords) -> None:
    hashed = passwords.hash(PASSWORD)
    assert passwords.hash(PASSWORD) != hashed
    assert passwords.fits(PASSWORD, hashed)
    for other in ("", PASSWORD.upper(), f"{PASSWORD} ", "\ud800"):
        assert not passwords.fits(other, hashed)


@pytest.mark.parametrize("hashed", [None, "", "no hash", "$argon2id$v=19$m=8,t=1,p=1$broken"])
def test_nothing_fits_where_there_is_no_hash(passwords: Passwords, hashed: str | None) -> None:
    assert not passwords.fits(PASSWORD, hashed)


def test_the_usual_parameters_are_as_strong_as_rfc_9106_wants_them() -> None:
    made = extract_parameters(Passwords().hash(PASSWORD))
    assert made.type is Type.ID
    assert (made.memory_cost, made.time_cost, made.parallelism) == (64 * 1024, 3, 4)
    assert made.salt_len >= 16


def test_a_hash_of_other_parameters_is_outdated(passwords: Passwords) -> None:
    assert not passwords.is_outdated(passwords.hash(PASSWORD))
    assert passwords.is_outdated(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD))
