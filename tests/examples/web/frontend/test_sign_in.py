"""Signing in and out, and everything that must not work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from starlette.responses import JSONResponse

from examples.flask_demo.frontend.sessions import COOKIE
from examples.flask_demo.frontend.sign_in import local_path
from examples.flask_demo.frontend.tokens import user_id
from examples.flask_demo.identity.app import DevelopmentProvider
from examples.flask_demo.identity.grants import Grant, Person
from examples.flask_demo.identity.settings import Settings as ProviderSettings
from examples.flask_demo.service_tokens import ALGORITHM, Verifier
from tests.examples.web.frontend.surroundings import (
    PUBLIC_URL,
    SECRET,
    Browser,
    Recorder,
    System,
    local,
    recorder,
    served,
    system,
    told,
    typed,
)
from tests.services.processes import free_port

AWAY = "http://127.0.0.1:1"
ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "evil.example",
    " /conversations",
    "",
)


def test_who_has_signed_in_reaches_the_orchestrator_as_one_user(web: System, upstream: Recorder) -> None:
    browser = web.browser()

    assert browser.sign_in("Ann").status_code == 303
    answer = browser.get("/api/v1/usage")

    assert (answer.status_code, told(answer)) == (200, {"ok": True})
    (seen,) = upstream.seen
    token = seen.headers["authorization"].removeprefix("Bearer ")
    claims = Verifier(web.frontend.keys, issuer=PUBLIC_URL, audience="orchestrator").verify_blocking(token)
    assert claims.user == user_id(web.issuer, Person(name="Ann").subject)
    assert "Ann" not in str(seen)


def test_who_has_not_signed_in_reaches_nothing(web: System, upstream: Recorder) -> None:
    answer = web.browser().get("/api/v1/usage")

    assert (answer.status_code, told(answer)["error"]["code"]) == (401, "unauthorized")
    assert not upstream.seen


def test_signing_in_replaces_the_session(web: System) -> None:
    browser = web.browser()
    location = browser.begin()
    before = browser.session_id
    assert before is not None

    browser.get(local(typed(location, "Ann")))

    assert browser.session_id not in (None, before)
    assert web.frontend.sessions.read(before) is None


def test_a_planted_session_is_never_taken_over(web: System) -> None:
    planted = "A" * 43
    browser = web.browser()
    browser.http.set_cookie(COOKIE, planted, domain="localhost", secure=True)

    browser.sign_in("Ann")

    assert browser.session_id != planted
    assert web.frontend.sessions.read(planted) is None


def test_signing_out_ends_the_session_and_goes_on_at_the_provider(web: System) -> None:
    browser = web.browser()
    browser.sign_in("Ann")
    before = browser.session_id
    assert before is not None

    answer = browser.post("/sign-out")

    left = urlsplit(answer.headers["Location"])
    assert (answer.status_code, left.path) == (303, "/end_session")
    assert answer.headers["Location"].startswith(web.issuer)
    assert parse_qs(left.query)["post_logout_redirect_uri"] == [f"{PUBLIC_URL}/"]
    assert web.frontend.sessions.read(before) is None
    assert browser.session_id is None
    assert browser.get("/api/v1/usage").status_code == 401
    assert httpx2.get(answer.headers["Location"], trust_env=False).headers["Location"] == f"{PUBLIC_URL}/"


def test_a_sign_in_goes_on_where_it_was_asked_for(web: System) -> None:
    answer = web.browser().sign_in("Ann", wanted="/conversations/c_1?a=b")

    assert answer.headers["Location"] == "/conversations/c_1?a=b"


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_nothing_that_may_lead_elsewhere_is_a_local_path(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_a_sign_in_never_goes_on_elsewhere(web: System) -> None:
    assert web.browser().sign_in("Ann", wanted="//evil.example").headers["Location"] == "/"


def test_a_callback_nobody_asked_for_signs_nobody_in(web: System) -> None:
    of_another = local(typed(web.browser().begin(), "Mallory"))
    browser = web.browser()

    answer = browser.get(of_another)

    assert answer.status_code == 400
    assert browser.get("/api/v1/usage").status_code == 401


def test_a_callback_works_once(web: System) -> None:
    browser = web.browser()
    callback = local(typed(browser.begin(), "Ann"))
    assert browser.get(callback).status_code == 303

    assert browser.get(callback).status_code == 400


def test_a_code_of_another_sign_in_is_of_no_use(web: System) -> None:
    stolen = parse_qs(urlsplit(typed(web.browser().begin(), "Ann")).query)["code"][0]
    browser = web.browser()
    mine = parse_qs(urlsplit(browser.begin()).query)["state"][0]

    answer = browser.get("/sign-in/callback", query_string={"code": stolen, "state": mine})

    assert answer.status_code == 400
    assert browser.get("/api/v1/usage").status_code == 401


def test_an_answer_of_another_provider_is_refused(web: System) -> None:
    browser = web.browser()
    callback = local(typed(browser.begin(), "Ann")).replace("iss=http", "iss=https")

    assert browser.get(callback).status_code == 400


def test_a_sign_in_that_was_given_up_signs_nobody_in(web: System) -> None:
    browser = web.browser()

    answer = browser.get(local(typed(browser.begin(), "Ann", cancel="1")))

    assert answer.status_code == 400
    assert browser.get("/api/v1/usage").status_code == 401


def test_beginning_again_and_again_does_not_grow_a_session(web: System) -> None:
    browser = web.browser()
    *_, last = (browser.begin() for _ in range(10))

    assert browser.session_id is not None
    kept = web.frontend.sessions.read(browser.session_id)
    assert kept is not None
    assert sum(name.startswith("_state_") for name in kept) == 4
    assert browser.get(local(typed(last, "Ann"))).status_code == 303


@pytest.fixture
def odd() -> Iterator[Recorder]:
    """A provider that says of itself what a test says."""
    with recorder() as started:
        yield started


def described(odd: Recorder, **more: str | None) -> None:
    known = {
        "issuer": odd.url,
        "authorization_endpoint": f"{odd.url}/authorize",
        "token_endpoint": f"http://127.0.0.1:{free_port()}/token",
    } | more
    odd.answer = lambda _: JSONResponse({name: value for name, value in known.items() if value is not None})


def test_a_provider_of_another_name_is_not_believed(valkey_url: str, tmp_path: Path, odd: Recorder) -> None:
    described(odd, issuer="https://another.example")

    with system(tmp_path, valkey_url, odd.url, AWAY) as made:
        assert made.browser().get("/sign-in/start").status_code == 503


def test_a_provider_that_goes_away_meanwhile_signs_nobody_in(valkey_url: str, tmp_path: Path, odd: Recorder) -> None:
    described(odd)

    with system(tmp_path, valkey_url, odd.url, AWAY) as made:
        browser = made.browser()
        state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
        answer = browser.get("/sign-in/callback", query_string={"state": state, "code": "c"})

    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, "/"),
        ("https://login.example/out?a=b", "https://login.example/out?a=b&client_id=web&post_logout_redirect_uri="),
    ],
)
def test_signing_out_leads_where_the_provider_says(
    valkey_url: str, tmp_path: Path, odd: Recorder, endpoint: str | None, expected: str
) -> None:
    described(odd, end_session_endpoint=endpoint)

    with system(tmp_path, valkey_url, odd.url, AWAY) as made:
        browser = made.browser()
        browser.begin()
        answer = browser.post("/sign-out")

    assert answer.headers["Location"].startswith(expected)
    allowed = {part.split()[0]: part for part in answer.headers["Content-Security-Policy"].split("; ")}["form-action"]
    assert endpoint is None or "https://login.example" in allowed.split()


def test_without_its_provider_somebody_signs_out_here(valkey_url: str, tmp_path: Path) -> None:
    with system(tmp_path, valkey_url, f"http://127.0.0.1:{free_port()}", AWAY) as made:
        browser = made.browser()
        answer = browser.post("/sign-out")

    assert (answer.headers["Location"], browser.session_id) == ("/", None)


class Liar(DevelopmentProvider):
    """A provider that says something else than it should."""

    said: dict[str, Any] = {}  # noqa: RUF012  (each test sets its own)
    algorithm: str = ALGORITHM

    def claims(self, grant: Grant, access: str) -> dict[str, Any]:
        return super().claims(grant, access) | self.said

    def signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm == ALGORITHM:
            return super().signed(claims)
        key = "" if self.algorithm == "none" else "k" * 32
        return jwt.encode(claims, key, algorithm=self.algorithm)


@pytest.fixture(scope="module")
def lying() -> Iterator[tuple[Liar, str]]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    liar = Liar(ProviderSettings(listen=f"127.0.0.1:{port}", issuer=issuer, secret=SECRET))
    with served(liar.app(), port):
        yield liar, issuer


@pytest.fixture
def liar(lying: tuple[Liar, str]) -> Liar:
    lying[0].said, lying[0].algorithm = {}, ALGORITHM
    return lying[0]


@pytest.fixture(scope="module")
def believing(lying: tuple[Liar, str], valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("believing"), valkey_url, lying[1], AWAY) as made:
        yield made


@pytest.fixture
def believer(believing: System) -> Browser:
    return believing.browser()


def test_an_id_token_that_says_what_it_should_is_taken(believer: Browser, liar: Liar) -> None:
    assert liar.said == {}

    assert believer.sign_in("Ann").status_code == 303


@pytest.mark.parametrize(
    "said",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": "another client", "azp": "web"},
        {"iss": "https://another.example"},
        {"exp": 1},
        {"sub": None},
        {"at_hash": "another"},
    ],
    ids=str,
)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    believer: Browser, liar: Liar, said: dict[str, Any]
) -> None:
    liar.said = said

    assert believer.sign_in("Ann").status_code == 400


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_an_id_token_of_another_algorithm_is_refused(believer: Browser, liar: Liar, algorithm: str) -> None:
    liar.algorithm = algorithm

    assert believer.sign_in("Ann").status_code == 400


def test_without_its_provider_a_page_says_so(valkey_url: str, tmp_path: Path) -> None:
    with system(tmp_path, valkey_url, f"http://127.0.0.1:{free_port()}", AWAY) as made:
        answer = made.browser().get("/sign-in/start")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
