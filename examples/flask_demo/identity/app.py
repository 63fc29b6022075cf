"""The provider: discovery, a page that asks for a name, codes with PKCE, tokens, sign-out. State is in memory."""

import hashlib
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode, urlsplit

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from examples.flask_demo.identity.grants import CODE_SECONDS, TOKEN_SECONDS, Grant, Person, Tickets
from examples.flask_demo.identity.page import ask_page, signed_out_page, wrong_page
from examples.flask_demo.identity.settings import Settings, is_loopback
from examples.flask_demo.service_tokens import ALGORITHM, PUBLISHED, KeyRing

_LONGEST_NAME: Final = 60
_PASSED_ON: Final = (
    "client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
)  # fmt: skip


class _Wrong(Exception):
    """A request that no person can mend; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused(Exception):
    """A refusal at the token endpoint, by the codes of RFC 6749."""

    error: str
    status: int = 400


class DevelopmentProvider:
    """Signs anybody in under any name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = KeyRing.made()  # tokens of an earlier start are worth nothing
        self._codes = Tickets[Grant](CODE_SECONDS)
        self._access = Tickets[Person](TOKEN_SECONDS)

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route(PUBLISHED, self.published),
                Route("/authorize", self.ask),
                Route("/authorize", self.answer, methods=["POST"]),
                Route("/token", self.token, methods=["POST"]),
                Route("/userinfo", self.userinfo),
                Route("/end_session", self.end_session, methods=["GET", "POST"]),
            ],
        )

    async def discovery(self, _: Request) -> Response:
        """Say what there is."""
        issuer = self._settings.issuer
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": issuer + PUBLISHED,
                "end_session_endpoint": f"{issuer}/end_session",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "profile", "email"],
                "claims_supported": ["sub", "name", "email", "nonce", "auth_time"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def published(self, _: Request) -> Response:
        """Give the public keys."""
        return JSONResponse(self._keys.published())

    async def ask(self, request: Request) -> Response:
        """Ask who it is."""
        try:
            asked = self._checked(request.query_params)
        except _Wrong as wrong:
            return wrong_page(str(wrong))
        return ask_page(asked)

    async def answer(self, request: Request) -> Response:
        """Send the browser back with a code, or with the word that nobody signed in."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        try:
            asked = self._checked(form)
        except _Wrong as wrong:
            return wrong_page(str(wrong))
        name = " ".join(form.get("name", "").split())[:_LONGEST_NAME]
        told = {"iss": self._settings.issuer} | ({"state": asked["state"]} if "state" in asked else {})
        if "cancel" in form or not name:
            return _to(asked["redirect_uri"], told | {"error": "access_denied"})
        grant = Grant(
            person=Person(name=name),
            client_id=asked["client_id"],
            redirect_uri=asked["redirect_uri"],
            challenge=asked["code_challenge"],
            nonce=asked.get("nonce"),
        )
        return _to(asked["redirect_uri"], told | {"code": self._codes.issue(grant)})

    async def token(self, request: Request) -> Response:
        """Give tokens for a code, once."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        try:
            body = self._exchanged(form, request.headers.get("Authorization", ""))
        except _Refused as refused:
            return JSONResponse({"error": refused.error}, refused.status, {"Cache-Control": "no-store"})
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def userinfo(self, request: Request) -> Response:
        """Say who an access token is for."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        person = self._access.find(token) if scheme.lower() == "bearer" else None
        if person is None:
            return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": "Bearer"})
        return JSONResponse({"sub": person.subject, "name": person.name, "email": person.email})

    async def end_session(self, request: Request) -> Response:
        """Send the browser back; as there are no sessions here, there is nothing to end."""
        asked = {**request.query_params}
        if request.method == "POST":
            asked |= {name: str(value) for name, value in (await request.form()).items()}
        target = asked.get("post_logout_redirect_uri")
        if target is None or not self._may_send_to(target):
            return signed_out_page()
        return _to(target, {"state": asked["state"]} if "state" in asked else {})

    def _checked(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the parameters of an authorization request. Raises _Wrong."""
        asked = {name: given[name] for name in _PASSED_ON if given.get(name)}
        if not self._knows(asked.get("client_id", "")):
            raise _Wrong("the client is not known here: OIDC_CLIENT_ID of both processes must be the same")
        if not self._may_send_to(asked.get("redirect_uri", "")):
            raise _Wrong("people are not sent to that address: name it in REDIRECT_URIS")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            raise _Wrong("only response_type=code with scope openid is understood here")
        if asked.get("code_challenge_method") != "S256" or "code_challenge" not in asked:
            raise _Wrong("PKCE is needed, by code_challenge_method=S256")
        return asked

    def _knows(self, client_id: str) -> bool:
        return bool(client_id) and self._settings.client_id in (None, client_id)

    def _may_send_to(self, target: str) -> bool:
        url = urlsplit(target)
        is_here = url.scheme in ("http", "https") and is_loopback(url.hostname or "") and not url.fragment
        return is_here or target in self._settings.redirect_uris

    def _exchanged(self, form: Mapping[str, str], authorization: str) -> dict[str, Any]:
        """Return the tokens for a code. Raises _Refused."""
        client_id, secret = _client(form, authorization)
        wanted = self._settings.secret
        if not self._knows(client_id) or (wanted is not None and not compare_digest(wanted.encode(), secret.encode())):
            raise _Refused(error="invalid_client", status=401)
        if form.get("grant_type") != "authorization_code":
            raise _Refused(error="unsupported_grant_type")
        grant = self._codes.redeem(form.get("code", ""))  # whatever comes of it, it works no second time
        if (
            grant is None
            or (grant.client_id, grant.redirect_uri) != (client_id, form.get("redirect_uri"))
            or not grant.is_proved_by(form.get("code_verifier", ""))
        ):
            raise _Refused(error="invalid_grant")
        access = self._access.issue(grant.person)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_SECONDS),
            "scope": "openid profile email",
            "id_token": self.signed(self.claims(grant, access)),
        }

    def claims(self, grant: Grant, access: str) -> dict[str, Any]:
        """Return what the ID token says."""
        now = int(time.time())
        half = hashlib.sha256(access.encode()).digest()[:16]
        return {
            "iss": self._settings.issuer,
            "sub": grant.person.subject,
            "aud": grant.client_id,
            "iat": now,
            "auth_time": now,
            "exp": now + int(TOKEN_SECONDS),
            "jti": secrets.token_hex(16),
            "at_hash": urlsafe_b64encode(half).rstrip(b"=").decode(),
            "name": grant.person.name,
            "email": grant.person.email,
        } | ({} if grant.nonce is None else {"nonce": grant.nonce})

    def signed(self, claims: dict[str, Any]) -> str:
        """Return an ID token."""
        key = self._keys.keys[0]
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.id})


def make_app(settings: Settings) -> Starlette:
    """Return the application."""
    return DevelopmentProvider(settings).app()


def _client(form: Mapping[str, str], authorization: str) -> tuple[str, str]:
    """Return who asks, and the password: from the header (RFC 6749, 2.3.1) or the form."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(name), unquote_plus(secret)


def _to(target: str, told: Mapping[str, str]) -> Response:
    joined = "&" if urlsplit(target).query else "?"
    return RedirectResponse(f"{target}{joined}{urlencode(told)}" if told else target, 303)
