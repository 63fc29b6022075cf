"""Signing in and out at an identity provider: OpenID Connect's code flow with PKCE, state and nonce, by Authlib.

Any provider will do that publishes `/.well-known/openid-configuration`. What it says of a person stays in the session.
"""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from flask import Blueprint, Flask, current_app, redirect, request, session
from flask.globals import request_ctx
from joserfc.errors import JoseError
from werkzeug.wrappers import Response

from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.frontend.sessions import USER, Session
from examples.flask_demo.frontend.settings import Provider, Settings
from examples.flask_demo.frontend.sign_in_limit import SignInLimit
from examples.flask_demo.frontend.tokens import user_id

DISCOVERY: Final = "/.well-known/openid-configuration"
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signed by a private key of the provider: `none`, and keys that we have too, are not among them."""
_SECONDS: Final = 10.0  # for a call to the provider
_LEEWAY: Final = 30  # seconds by which the provider's clock may differ
_STATE: Final = "_state_provider_"
_MOST_STATES: Final = 4
_log = logging.getLogger("web.frontend")

sign_in = Blueprint("sign_in", __name__)


class NotSignedIn(Exception):
    """Nobody is signed in."""


class SignInFailed(Exception):
    """The provider or the browser did not do its part; the text is for people."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid") -> None:
        super().__init__(message)
        self.status: int = status
        self.code: str = code


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who is signed in: `id` is what everything behind the front end knows; the rest stays here."""

    id: str
    name: str
    email: str = ""


def current_user() -> User | None:
    """Return who is signed in, in a request or in an event of a socket. Raises SessionsUnavailable."""
    found = session.get(USER)
    return User(**cast("dict[str, str]", found)) if isinstance(found, dict) else None


def required_user() -> User:
    """Return who is signed in. Raises NotSignedIn, SessionsUnavailable."""
    user = current_user()
    if user is None:
        raise NotSignedIn
    return user


def local_path(wanted: str | None) -> str:
    """Return a path of ours to go on at: `/` for everything that a browser might take for another host."""
    text = wanted or "/"
    is_odd = any(ord(letter) <= 0x20 or letter == "\\" or ord(letter) == 0x7F for letter in text)  # noqa: PLR2004
    if is_odd or not text.startswith("/") or text.startswith("//"):
        return "/"
    return text


class IdentityProvider:
    """The provider, as Authlib's client of it."""

    def __init__(self, app: Flask, settings: Settings, metrics: Metrics) -> None:
        """Take the application; the provider is asked when it is needed."""
        self._provider: Provider = settings.provider
        self._public_url = settings.public_url
        self._metrics = metrics
        self._client: Any = cast("Any", OAuth(app)).register(
            "provider",
            client_id=self._provider.client_id,
            client_secret=self._provider.secret,
            server_metadata_url=self._provider.issuer.rstrip("/") + DISCOVERY,
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "default_timeout": _SECONDS,
                "token_endpoint_auth_method": "none" if self._provider.secret is None else "client_secret_basic",
            },
        )

    @property
    def callback(self) -> str:
        """Where the provider sends people back to."""
        return f"{self._public_url}/sign-in/callback"

    def form_targets(self) -> str:
        """Return the origins that signing out may lead to, as far as they are known by now."""
        known = cast("dict[str, str]", self._client.server_metadata).get("end_session_endpoint", self._provider.issuer)
        return " ".join(sorted({_origin(known), _origin(self._provider.issuer)}))

    def start(self) -> Response:
        """Send a browser to the provider. Raises SignInFailed."""
        self._metadata()
        return cast("Response", self._client.authorize_redirect(self.callback))

    def finish(self) -> tuple[User, str]:
        """Return who has come back, and the provider's token of it. Raises SignInFailed."""
        metadata = self._metadata()
        if request.args.get("iss", metadata["issuer"]) != metadata["issuer"]:  # RFC 9207
            raise SignInFailed("The answer came from another provider. Sign in again.")
        try:
            token: dict[str, Any] = self._client.authorize_access_token(leeway=_LEEWAY, claims_options=self._wanted())
            claims: dict[str, Any] = token["userinfo"]
            subject: str = claims["sub"]
        except requests.RequestException as error:
            raise _unreachable() from error
        except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError) as error:
            _log.warning("a sign-in was refused: %s", type(error).__name__)
            raise SignInFailed("The sign-in is not valid, or was given up. Sign in again.") from error
        name = str(claims.get("name") or claims.get("preferred_username") or claims.get("email") or "You")
        user = User(id=user_id(metadata["issuer"], subject), name=name[:200], email=str(claims.get("email", ""))[:200])
        return user, str(token["id_token"])

    def end(self, id_token: str | None) -> str:
        """Return where a browser goes on after it has signed out here: the provider's own sign-out if it has one."""
        try:
            endpoint = self._metadata().get("end_session_endpoint")
        except SignInFailed:
            endpoint = None
        if not endpoint:
            return "/"
        told = {"client_id": self._provider.client_id, "post_logout_redirect_uri": f"{self._public_url}/"}
        hint = {} if id_token is None else {"id_token_hint": id_token}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(told | hint)}"

    def count(self, outcome: str) -> None:
        """Count a sign-in."""
        self._metrics.add("web_sign_ins_total", outcome=outcome)

    def _wanted(self) -> dict[str, Any]:
        return {
            "iss": {"essential": True, "value": self._provider.issuer},
            "aud": {"essential": True, "value": self._provider.client_id},
        }

    def _metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself, and let Authlib take no other algorithm than ours."""
        try:
            metadata: dict[str, Any] = self._client.load_server_metadata()
        except (requests.RequestException, ValueError) as error:
            raise _unreachable() from error
        if metadata.get("issuer") != self._provider.issuer:
            raise SignInFailed("The identity provider is set up wrongly: its name is not the one we know.", status=503)
        offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        metadata["id_token_signing_alg_values_supported"] = [one for one in _ALGORITHMS if one in offered]
        return metadata


@sign_in.get("/sign-in/start")
def start() -> Response:
    """Begin: the state of it is in the session, which is bound to this browser."""
    _limit().count("start", request.remote_addr)
    _forget_old_states()
    session["next"] = local_path(request.args.get("next"))
    return _provider().start()


@sign_in.get("/sign-in/callback")
def callback() -> Response:
    """End: whoever comes back gets a new session."""
    _limit().count("callback", request.remote_addr)
    provider = _provider()
    try:
        user, id_token = provider.finish()
    except SignInFailed:
        provider.count("failed")
        raise
    wanted = local_path(session.get("next"))
    _session().rotate()
    session[USER] = asdict(user)
    session["id_token"] = id_token
    session["since"] = int(time.time())
    provider.count("done")
    _log.info("signed in", extra={"user": user.id})
    return redirect(wanted, 303)


@sign_in.post("/sign-out")
def sign_out() -> Response:
    """End the session here, and then at the provider."""
    id_token, user = cast("str | None", session.get("id_token")), current_user()
    _session().rotate()
    if user is not None:
        _log.info("signed out", extra={"user": user.id})
    return redirect(_provider().end(id_token), 303)


def _forget_old_states() -> None:
    """Keep a session small whose browser begins again and again."""
    states = sorted((key for key in session if key.startswith(_STATE)), key=lambda key: session[key]["exp"])
    for key in states[: -_MOST_STATES + 1]:
        del session[key]


def _session() -> Session:
    found = request_ctx.session
    assert isinstance(found, Session)  # noqa: S101  (the only kind this application opens)
    return found


def _provider() -> IdentityProvider:
    return cast("IdentityProvider", current_app.extensions["identity_provider"])


def _limit() -> SignInLimit:
    return cast("SignInLimit", current_app.extensions["sign_in_limit"])


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _unreachable() -> SignInFailed:
    return SignInFailed(
        "The identity provider cannot be reached now. Try again in a moment.", status=503, code="unavailable"
    )
