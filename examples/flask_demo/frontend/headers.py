"""What browsers are told to refuse: what comes from another host, anything inline, frames, guesses at a type."""

from collections.abc import Callable
from typing import Final

from flask import Flask, Response, request

_PERMISSIONS: Final = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
_YEAR: Final = 365 * 24 * 3600


def content_security_policy(host: str, *, https: bool, form_targets: str = "") -> str:
    """Return the policy of our pages at `host`.

    `form_targets` are origins that a form's answer may lead to, as Chromium looks at redirects too: signing out goes on
    at the identity provider.
    """
    socket = f"{'wss' if https else 'ws'}://{host}"
    return "; ".join(
        (
            "default-src 'self'",
            f"connect-src 'self' {socket}",
            "object-src 'none'",
            "base-uri 'none'",
            f"form-action 'self' {form_targets}".rstrip(),
            "frame-ancestors 'none'",
        )
    )


def secure_headers(app: Flask, host: str, *, https: bool, form_targets: Callable[[], str]) -> None:
    """Let an application send them with every answer."""

    def add(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = content_security_policy(host, https=https, form_targets=form_targets())
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "same-origin"
        headers["Permissions-Policy"] = _PERMISSIONS
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if https:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR}; includeSubDomains"
        if request.endpoint != "static" and "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-store"  # what is a user's own is kept by nobody on the way
        return response

    app.after_request(add)
