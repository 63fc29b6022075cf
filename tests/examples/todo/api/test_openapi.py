"""The service does what its OpenAPI document says, whatever it is sent: Schemathesis asks it over a real port.

TODO_SCHEMATHESIS_EXAMPLES=200 lets it ask more.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedFunctionDecorator=false
# (Schemathesis tells only a part of its types.)

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from examples.todo_chatbot.api.app import make_app
from examples.todo_chatbot.settings import Settings
from tests.examples.todo.service import PASSWORD, quick_app, served, settings_in

EXAMPLES = int(os.environ.get("TODO_SCHEMATHESIS_EXAMPLES", "5"))
UNUSED = Settings(
    data=Path(), database_url="sqlite:///unused.db", user="", model=None, remark="", secret=secrets.token_hex(32)
)
"""Those of an application that is asked for its document, and opens nothing."""

schema = schemathesis.openapi.from_dict(make_app(UNUSED).openapi())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service."""
    with served(quick_app(settings_in(tmp_path_factory.mktemp("served")))) as base:
        yield base


@pytest.fixture(scope="module")
def login(base: str) -> dict[str, str]:
    """Somebody who has signed up, and has a task and a conversation."""
    with httpx2.Client(base_url=base, timeout=20) as http:
        login = http.post("/api/auth/sign-up", json={"email": "s@example.org", "password": PASSWORD}).json()
        headers = {"Authorization": f"Bearer {login['access_token']}"}
        http.post(f"/api/{login['user_id']}/chat", json={"message": "add milk to my list"}, headers=headers)
    return login


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_service_keeps_to_its_document(case: schemathesis.Case[Any], base: str, login: dict[str, str]) -> None:
    if "user_id" in case.path_parameters and case.path != "/api/{user_id}":  # whom nobody may delete meanwhile
        case.path_parameters["user_id"] = login["user_id"]
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    # No schema says which texts can be shown, and what an e-mail address is: what fits it may be refused still.
    excluded = [positive_data_acceptance]
    if case.method in ("GET", "DELETE"):  # parameters that nobody knows are passed over
        excluded.append(negative_data_rejection)
    case.call_and_validate(base_url=base, headers=headers, excluded_checks=excluded)
