"""Requests that change something come from our own pages: a token of the session, and the page's origin.

The token stands in a form field or in a header; under /api/ in the header only, so that no body is read for it.
Browsers say where a request comes from by `Origin`: another origin than ours is refused before the token is looked at.
"""

import secrets
from hmac import compare_digest
from typing import Any, Final, cast

from flask import Flask, request, session

FIELD: Final = "csrf_token"
HEADER: Final = "X-CSRF-Token"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_KEY: Final = "csrf"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


class CSRFRefused(Exception):
    """A request that changes something did not come from a page of ours, or the session of that page has ended."""

    def __init__(self, *, has_ended: bool = False) -> None:
        super().__init__()
        self.has_ended: bool = has_ended


def csrf_token() -> str:
    """Return the token of this session; pages put it into their forms."""
    token = session.get(_KEY)
    if not isinstance(token, str):
        token = session[_KEY] = secrets.token_urlsafe(32)
    return token


def protect(app: Flask, origin: str) -> None:
    """Let an application refuse what does not come from its own pages; `origin` is that of these."""

    def check() -> None:
        if request.method in _SAFE:
            return
        if not _is_ours(origin):
            raise CSRFRefused
        token = session.get(_KEY)
        if not isinstance(token, str):  # seen before a body is read: nobody without a session has us wait for one
            raise CSRFRefused(has_ended=True)
        if not compare_digest(token.encode(), _given_token().encode()):
            raise CSRFRefused

    app.before_request(check)
    cast("dict[str, Any]", app.jinja_env.globals)[FIELD] = csrf_token


def _is_ours(origin: str) -> bool:
    """Whether the browser names no other origin; one that names none at all is judged by its token."""
    named = request.headers.get("Origin")
    if named is not None:
        return named == origin
    return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def _given_token() -> str:
    header = request.headers.get(HEADER)
    if header is not None or request.path.startswith("/api/") or request.mimetype not in _FORMS:
        return header or ""
    return request.form.get(FIELD, "")
