"""What a browser is told when something cannot be done: a page, or one JSON object under /api/."""

import logging
from collections.abc import Mapping
from typing import Final

from flask import Flask, Response, jsonify, make_response, request
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, SecurityError

from examples.flask_demo.frontend.csrf import CSRFRefused
from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.frontend.orchestrator_client import Refused, Unavailable
from examples.flask_demo.frontend.pages import problem_page
from examples.flask_demo.frontend.sessions import SessionsUnavailable
from examples.flask_demo.frontend.sign_in import NotSignedIn, SignInFailed
from examples.flask_demo.frontend.sign_in_limit import TooManySignIns

_log = logging.getLogger("web.frontend")
_AGAIN: Final = "2"  # seconds
_HTTP: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("invalid", "Not understood", "This request cannot be read."),
    404: ("not_found", "Not found", "There is no such page."),
    405: ("invalid", "Not possible", "This address does not know that method."),
    413: ("too_large", "Too large", "That is more than is taken here."),
    415: ("unsupported", "Not possible", "This type is not taken here."),
}
_Told = tuple[int, str, str, str]
_OURS: Final[Mapping[type[Exception], _Told]] = {
    SessionsUnavailable: (
        503,
        "unavailable",
        "Not available",
        "Signed-in pages cannot be shown: the store of sessions does not answer. Try again in a moment.",
    ),
    Unavailable: (
        503,
        "unavailable",
        "Not available",
        "The assistant cannot be reached at the moment. What you wrote before is kept.",
    ),
    NotSignedIn: (401, "unauthorized", "Not signed in", "Sign in first."),
    CSRFRefused: (
        403,
        "forbidden",
        "Reload the page",
        "This did not come from a current page of ours. Reload the page and try again.",
    ),
}
_UNKNOWN: Final[_Told] = (500, "failed", "That did not work", "Something went wrong here. Try again.")


def tell_of_problems(app: Flask, metrics: Metrics) -> None:
    """Let an application answer its errors."""

    def answer(error: Exception) -> Response:
        status, code, title, text = _told(error)
        if status in (400, 401, 403, 429):
            metrics.add("web_refused_total", reason=code)
        if status >= 500:  # noqa: PLR2004  (ours, and not the browser's)
            _log.warning("%s: %s", type(error).__name__, error, exc_info=status == 500)  # noqa: PLR2004
        response = _written(status, code, title, text)
        if isinstance(error, TooManySignIns):
            response.headers["Retry-After"] = str(error.seconds)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or ())
        return response

    app.register_error_handler(Exception, answer)


def _told(error: Exception) -> _Told:
    """Return status, code, title and text; of an error that nobody knows none of its text."""
    original = getattr(error, "original_exception", None)
    known = original if isinstance(error, InternalServerError) and isinstance(original, Exception) else error
    match known:
        case CSRFRefused(has_ended=True) if _wants_json():
            return _OURS[NotSignedIn]
        case SignInFailed() as failed:
            return failed.status, failed.code, "Signing in did not work", str(failed)
        case TooManySignIns(seconds=seconds):
            text = f"Too many sign-ins come from your address just now. Try again in {_said(seconds)}."
            return 429, "limited", "Try again in a moment", text
        case Refused() as refused:
            return refused.status, refused.code, "That did not work", refused.message
        case HTTPException(code=int(status)):
            code, title, text = _HTTP.get(status, ("failed", "That did not work", "This cannot be done."))
            return status, code, title, text
        case _:
            return _OURS.get(type(known), _UNKNOWN)


def _written(status: int, code: str, title: str, text: str) -> Response:
    if isinstance(request.routing_exception, SecurityError):  # no page of ours has this host's name
        return Response("This address is not served under that name.\n", 400, mimetype="text/plain")
    if _wants_json():
        response = jsonify({"error": {"code": code, "message": text}})
        response.status_code = status
    else:
        response = make_response(problem_page(title, text, status))
    if status in (429, 503):
        response.headers["Retry-After"] = _AGAIN
    return response


def _said(seconds: int) -> str:
    return "a second" if seconds == 1 else f"{seconds} seconds"


def _wants_json() -> bool:
    return request.path.startswith("/api/")
