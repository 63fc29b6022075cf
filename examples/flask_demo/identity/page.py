"""The pages of the provider. They say on their face what they are."""

import secrets
from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem }
.warning { border: 2px solid #b45309; border-radius: .5rem; padding: .5rem 1rem }
label { display: block; margin: 1rem 0 .25rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem }
button { font: inherit; padding: .5rem 1rem; margin: 1rem .5rem 0 0 }
"""
_WARNING: Final = (
    '<p class="warning"><strong>For development only.</strong>'
    " Whoever types a name is signed in under it: there are no passwords here.</p>"
)


def ask_page(asked: Mapping[str, str]) -> HTMLResponse:
    """Return the page that asks for a name and keeps what the client has asked."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in asked.items()
    )
    body = (
        f'{_WARNING}<form method="post" action="authorize">{hidden}'
        '<label for="name">Your name</label>'
        '<input id="name" name="name" list="names" required maxlength="60" autocomplete="username" autofocus>'
        '<datalist id="names"><option>Ann<option>Ben<option>Chris</datalist>'
        '<button>Sign in</button> <button name="cancel" value="1" formnovalidate>Cancel</button></form>'
    )
    target = urlsplit(asked["redirect_uri"])
    return _page("Sign in", body, form_target=f"{target.scheme}://{target.netloc}")


def signed_out_page() -> HTMLResponse:
    """Return the page after a sign-out that leads nowhere else."""
    return _page("Signed out", f"{_WARNING}<p>You are signed out.</p>")


def wrong_page(problem: str) -> HTMLResponse:
    """Return the page for a request that is wrong."""
    return _page("This cannot be done", f"{_WARNING}<p>{escape(problem)}</p>", status=400)


def _page(title: str, body: str, *, form_target: str = "", status: int = 200) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self' {form_target}; base-uri 'none';"
        " frame-ancestors 'none'"
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><style nonce="{nonce}">{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status, headers)
