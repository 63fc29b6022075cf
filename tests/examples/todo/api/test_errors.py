"""How errors are told: each one of the library and of the services has a status, and none its secrets."""

from collections.abc import Iterator

import pytest

from assistant_kit import AssistantKitError, ConversationBusy, QuotaExceeded, StoreUnavailable, errors
from examples.todo_chatbot.api.errors import ErrorBody, documented, told
from examples.todo_chatbot.services.errors import DatabaseUnavailable, ServiceError


def _all(kind: type[Exception]) -> Iterator[type[Exception]]:
    for one in kind.__subclasses__():
        yield one
        yield from _all(one)


def _made(kind: type[Exception]) -> Exception:
    """Make an error without its data: only what it is counts here."""
    error = kind.__new__(kind, "internal: postgresql://secret@host")
    error.args = ("internal: postgresql://secret@host",)
    return error


@pytest.mark.parametrize("kind", sorted(set(_all(AssistantKitError)), key=str), ids=lambda kind: kind.__name__)
def test_an_error_of_the_library_is_told_in_words_for_people(kind: type[Exception]) -> None:
    error = _made(kind)
    error.__dict__.update(retry_after=1.5)
    status, body, _ = told(error)
    assert status in documented(404, 409, 422, 429, 502, 503, 504)
    assert "internal" not in body.error.message
    assert "secret" not in str(body)


@pytest.mark.parametrize("kind", sorted(set(_all(ServiceError)), key=str), ids=lambda kind: kind.__name__)
def test_an_error_of_a_service_is_no_failure_of_ours_but_of_the_database(kind: type[Exception]) -> None:
    status, body, _ = told(kind("what is wrong"))
    if kind is DatabaseUnavailable:
        assert (status, body.error.code) == (503, "unavailable")
        assert "what is wrong" not in body.error.message
    else:
        assert 400 <= status < 500
        assert body.error.message == "what is wrong"


def test_an_error_that_nobody_knows_is_not_shown() -> None:
    status, body, headers = told(ValueError("secret"))
    assert (status, headers) == (500, {})
    assert "secret" not in str(body)


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (12.1, "13")])
def test_who_has_to_wait_is_told_for_how_many_whole_seconds(seconds: float, header: str) -> None:
    quota = QuotaExceeded("messages", unit="requests", needed=1, left=0, retry_after=seconds)
    for error in (quota, ConversationBusy("1", seconds)):
        assert told(error)[2] == {"Retry-After": header}


def test_nobody_is_told_to_wait_where_that_is_not_known() -> None:
    assert told(errors.CallRefused("no"))[2] == {}
    assert told(StoreUnavailable("no"))[2] == {}


def test_the_body_has_one_form() -> None:
    assert told(ServiceError("x"))[1].model_dump().keys() == ErrorBody.model_fields.keys()
