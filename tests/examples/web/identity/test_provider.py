"""The development provider: what its page says, and that a code works once, for who began, and nowhere else."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from starlette.testclient import TestClient

from examples.flask_demo.identity.app import make_app
from examples.flask_demo.identity.grants import Grant, Person, Tickets
from examples.flask_demo.identity.settings import Settings

ISSUER = "http://localhost:8090"
CALLBACK = "http://localhost:8000/sign-in/callback"
VERIFIER = "v" * 50
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "client_id": "web",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile",
    "state": "s&<1>",
    "nonce": "n1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
SETTINGS = Settings(
    listen="127.0.0.1:8090",
    issuer=ISSUER,
    client_id="web",
    secret="p%:w",
    redirect_uris=("https://assistant.example/sign-in/callback",),
)


@pytest.fixture
def browser() -> Iterator[TestClient]:
    with TestClient(make_app(SETTINGS), base_url=ISSUER, follow_redirects=False) as made:
        yield made


def code_for(browser: TestClient, **changed: str) -> str:
    answer = browser.post("/authorize", data=ASKED | {"name": "Ann"} | changed)
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def exchanged(
    browser: TestClient, code: str, auth: tuple[str, str] | None = ("web", "p%25%3Aw"), **changed: str
) -> Any:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return browser.post("/token", data=form | changed, auth=auth)  # pyright: ignore[reportArgumentType]


def test_the_page_says_that_it_is_for_development(browser: TestClient) -> None:
    page = browser.get("/authorize", params=ASKED)

    assert page.status_code == 200
    assert "For development only" in page.text
    assert 'value="s&amp;&lt;1&gt;"' in page.text
    assert "form-action 'self' http://localhost:8000;" in page.headers["Content-Security-Policy"]


def test_a_code_gives_an_id_token_for_who_asked(browser: TestClient) -> None:
    given = exchanged(browser, code_for(browser, name="  Ann   B. ")).json()

    keys = jwt.PyJWKSet.from_dict(browser.get("/.well-known/jwks.json").json())
    claims = jwt.decode(given["id_token"], keys[jwt.get_unverified_header(given["id_token"])["kid"]], audience="web")
    assert (claims["iss"], claims["nonce"], claims["name"]) == (ISSUER, "n1", "Ann B.")
    who = browser.get("/userinfo", headers={"Authorization": f"Bearer {given['access_token']}"}).json()
    assert who == {"sub": claims["sub"], "name": "Ann B.", "email": claims["email"]}


def test_the_same_name_is_the_same_person_and_another_is_not() -> None:
    assert Person(name="Ann").subject == Person(name="ANN").subject != Person(name="Anna").subject


def test_the_password_may_stand_in_the_form(browser: TestClient) -> None:
    form = {"client_id": "web", "client_secret": "p%:w"}

    assert exchanged(browser, code_for(browser), None, **form).status_code == 200


def test_a_public_client_needs_no_password() -> None:
    settings = Settings(listen="127.0.0.1:8090", issuer=ISSUER)
    with TestClient(make_app(settings), base_url=ISSUER, follow_redirects=False) as browser:
        code = code_for(browser, client_id="any")
        assert exchanged(browser, code, None, client_id="any").status_code == 200


def test_a_code_works_once(browser: TestClient) -> None:
    code = code_for(browser)
    assert exchanged(browser, code).status_code == 200

    again = exchanged(browser, code)

    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 50},
        {"code_verifier": ""},
        {"redirect_uri": "http://localhost:8000/other"},
        {"code": "another"},
    ],
    ids=str,
)
def test_a_code_is_for_who_began(browser: TestClient, changed: dict[str, str]) -> None:
    code = code_for(browser)

    brought = {"code_verifier": VERIFIER, "redirect_uri": CALLBACK, "code": code} | changed

    refused = exchanged(
        browser, brought["code"], code_verifier=brought["code_verifier"], redirect_uri=brought["redirect_uri"]
    )

    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_grant"})
    if "code" not in changed:
        assert exchanged(browser, code).status_code == 400  # it is spent


@pytest.mark.parametrize("auth", [("web", "wrong"), ("other", "p%25%3Aw"), None])
def test_a_client_without_its_password_gets_nothing(browser: TestClient, auth: tuple[str, str] | None) -> None:
    refused = exchanged(browser, code_for(browser), auth)

    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize("header", ["Basic ?", "Basic /w==", "Other x"])
def test_a_header_that_cannot_be_read_is_no_password(browser: TestClient, header: str) -> None:
    assert browser.post("/token", headers={"Authorization": header}, data={}).status_code == 401


def test_another_way_to_get_tokens_is_not_known(browser: TestClient) -> None:
    refused = exchanged(browser, code_for(browser), grant_type="password")

    assert (refused.status_code, refused.json()) == (400, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://evil.example/sign-in/callback"},
        {"redirect_uri": "https://assistant.example/other"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "http://localhost.evil.example/"},
        {"redirect_uri": ""},
        {"response_type": "token"},
        {"scope": "profile"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_is_wrong_leads_nowhere(browser: TestClient, method: str, changed: dict[str, str]) -> None:
    given = ASKED | changed

    answer = browser.get("/authorize", params=given) if method == "GET" else browser.post("/authorize", data=given)

    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_an_address_that_is_named_is_led_to(browser: TestClient) -> None:
    assert code_for(browser, redirect_uri="https://assistant.example/sign-in/callback")


@pytest.mark.parametrize("form", [{"cancel": "1", "name": "Ann"}, {"name": "   "}], ids=str)
def test_who_gives_up_is_sent_back_without_a_code(browser: TestClient, form: dict[str, str]) -> None:
    answer = browser.post("/authorize", data=ASKED | form)

    told = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert told == {"error": ["access_denied"], "state": ["s&<1>"], "iss": [ISSUER]}


def test_an_access_token_that_is_none_says_nothing(browser: TestClient) -> None:
    assert browser.get("/userinfo", headers={"Authorization": "Bearer x"}).status_code == 401
    assert browser.get("/userinfo").status_code == 401


def test_signing_out_leads_back_to_known_addresses_only(browser: TestClient) -> None:
    back = {"post_logout_redirect_uri": "http://localhost:8000/", "state": "s"}

    assert browser.get("/end_session", params=back).headers["Location"] == "http://localhost:8000/?state=s"
    assert browser.post("/end_session", data=back).headers["Location"] == "http://localhost:8000/?state=s"
    elsewhere = browser.get("/end_session", params={"post_logout_redirect_uri": "https://evil.example/"})
    assert (elsewhere.status_code, "Location" in elsewhere.headers) == (200, False)
    assert browser.get("/end_session").status_code == 200


def test_a_ticket_ends() -> None:
    now = [100.0]
    tickets = Tickets[str](60, lambda: now[0])
    one, other = tickets.issue("one"), tickets.issue("other")

    now[0] += 59
    assert (tickets.find(one), tickets.redeem(one), tickets.redeem(one)) == ("one", "one", None)
    now[0] += 1
    assert tickets.find(other) is None
    assert tickets.redeem(tickets.issue("third")) == "third"


def test_a_grant_does_not_tell_its_proof() -> None:
    grant = Grant(person=Person(name="Ann"), client_id="web", redirect_uri=CALLBACK, challenge=CHALLENGE, nonce=None)

    assert grant.is_proved_by(VERIFIER)
    assert not grant.is_proved_by(CHALLENGE)


def test_tickets_that_nobody_fetches_make_room() -> None:
    tickets = Tickets[int](60, most=2)
    first, second, third = (tickets.issue(number) for number in range(3))

    assert (tickets.find(first), tickets.find(second), tickets.find(third)) == (None, 1, 2)
