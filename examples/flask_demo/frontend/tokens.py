"""Tokens that tell an orchestrator for a minute whose request it is, and the keys by which it checks them."""

import hashlib
from typing import Final

from flask import Blueprint, Response, jsonify

from examples.flask_demo.service_tokens import PUBLISHED, KeyRing

AUDIENCE: Final = "orchestrator"


def user_id(issuer: str, subject: str) -> str:
    """Return what a user is called behind the front end: it does not tell the name, and is the same at each sign-in."""
    return "u_" + hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:32]


class Tokens:
    """Makes a token for each request to an orchestrator."""

    def __init__(self, keys: KeyRing, issuer: str) -> None:
        """Take the keys, and who we are: the front end's public address."""
        self.keys: KeyRing = keys
        self._issuer = issuer

    def for_user(self, user: str) -> str:
        """Return a token for a user."""
        return self.keys.issue(user, issuer=self._issuer, audience=AUDIENCE)


def published_keys(keys: KeyRing) -> Blueprint:
    """Return the route that publishes the public keys."""
    routes = Blueprint("published_keys", __name__)

    def publish() -> Response:
        response = jsonify(keys.published())
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    routes.add_url_rule(PUBLISHED, view_func=publish)
    return routes
