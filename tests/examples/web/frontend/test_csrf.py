"""Requests that change something, from elsewhere."""

import io

import pytest

from examples.flask_demo.frontend.csrf import csrf_token
from tests.examples.web.frontend.surroundings import PUBLIC_URL, Browser, Recorder, System, told

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def ann(web: System) -> Browser:
    browser = web.browser()
    browser.sign_in("Ann")
    return browser


def test_a_script_of_our_page_may_change_something(ann: Browser, upstream: Recorder) -> None:
    assert ann.json("POST", "/api/v1/conversations", {}).status_code == 200
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_without_the_token_of_the_session_nothing_is_changed(ann: Browser, upstream: Recorder, method: str) -> None:
    ann.csrf_token()

    answer = ann.ask(method, "/api/v1/conversations/c_1", headers=JSON | {"Origin": PUBLIC_URL}, data=b"{}")

    assert (answer.status_code, told(answer)["error"]["code"]) == (403, "forbidden")
    assert not upstream.seen


@pytest.mark.parametrize("given", ["", "wrong", "ä"])
def test_a_wrong_token_is_refused(ann: Browser, given: str) -> None:
    ann.csrf_token()

    headers = {"X-CSRF-Token": given.encode().decode("latin-1")}

    assert ann.ask("POST", "/api/v1/conversations", headers=headers).status_code == 403


def test_the_token_of_another_session_is_refused(ann: Browser, web: System) -> None:
    other = web.browser()
    other.sign_in("Mallory")
    with other.http.session_transaction(base_url=PUBLIC_URL) as session:
        session["csrf"] = "Mallory's"
    ann.csrf_token()

    assert ann.ask("POST", "/api/v1/conversations", headers={"X-CSRF-Token": "Mallory's"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{PUBLIC_URL}.evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_origin_is_refused_whatever_token_it_has(
    ann: Browser, upstream: Recorder, headers: dict[str, str]
) -> None:
    given = {"X-CSRF-Token": ann.csrf_token()} | headers

    assert ann.ask("POST", "/api/v1/conversations", headers=given).status_code == 403
    assert not upstream.seen


def test_a_form_of_our_page_has_the_token_in_a_field(ann: Browser) -> None:
    form = {"csrf_token": ann.csrf_token()}

    assert ann.ask("POST", "/sign-out", data=form, headers={"Origin": PUBLIC_URL}).status_code == 303


def test_a_form_without_the_token_signs_nobody_out(ann: Browser) -> None:
    answer = ann.ask("POST", "/sign-out", data={}, headers={"Origin": PUBLIC_URL})

    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert ann.get("/api/v1/usage").status_code == 200


def test_of_who_has_no_session_no_body_is_read(web: System) -> None:
    class Unread(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise AssertionError("it was read")

    answer = web.browser().ask(
        "POST", "/sign-out", input_stream=Unread(), content_length=10, content_type="application/x-www-form-urlencoded"
    )

    assert answer.status_code == 403


def test_the_api_takes_no_token_out_of_a_form(ann: Browser) -> None:
    form = {"csrf_token": ann.csrf_token()}

    assert ann.ask("POST", "/api/v1/files", data=form).status_code == 403


def test_a_page_whose_session_has_ended_is_told_to_sign_in(web: System) -> None:
    answer = web.browser().ask("POST", "/api/v1/conversations", headers={"X-CSRF-Token": "of yesterday"})

    assert (answer.status_code, told(answer)["error"]["code"]) == (401, "unauthorized")


def test_a_page_shows_the_token_of_its_session(ann: Browser, web: System) -> None:
    with web.frontend.app.test_request_context(base_url=PUBLIC_URL):
        first, second = csrf_token(), csrf_token()
    with web.frontend.app.test_request_context(base_url=PUBLIC_URL):
        other = csrf_token()

    assert first == second != other
    assert len(first) >= 43
    assert ann.csrf_token() not in (first, other)
