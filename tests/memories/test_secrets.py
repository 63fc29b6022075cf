"""What looks like a secret, and what does not."""

import pytest

from assistant_kit.memories._secrets import looks_secret


@pytest.mark.parametrize(
    "text",
    [
        "My password is hunter2.",
        "password: hunter2",
        'Das Passwort lautet "geheim99".',
        "The user's PIN is 4711.",
        "The passphrase for the vault is correct horse.",
        "The card is 4111 1111 1111 1111.",
        "5500-0000-0000-0004 is the card",
        "The key is sk-proj-abcdefghijklmnop1234.",
        "ghp_abcdefghijklmnopqrst1234",
        "AKIAIOSFODNN7EXAMPLE is his",
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "The API key of the account is 12345abcde",
    ],
)
def test_a_secret_is_found(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "The user is allergic to nuts.",
        "The user forgot the password of the gym.",
        "The user's password is stored in a safe.",
        "The order is 4111 1111 1111 1112.",
        "Her telephone is +47 22 12 34 56.",
        "The meeting is on 2026-11-22 at 10:30.",
        "The user pins photos to the wall.",
        "The pin collection is large.",
        "The user likes skis.",
    ],
)
def test_what_is_no_secret_is_let_through(text: str) -> None:
    assert not looks_secret(text)
