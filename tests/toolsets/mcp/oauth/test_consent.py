from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from mcp.shared.auth import OAuthMetadata

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets.mcp.oauth.consent import Question, code_in, question
from assistant_kit.toolsets.mcp.oauth.discovery import Authority
from assistant_kit.toolsets.mcp.oauth.server_place import server_place

ISSUER = "https://login.example"
PLACE = server_place("https://mcp.example/mcp", allow_private=False)


def authority(*, says_who: bool = True) -> Authority:
    metadata = OAuthMetadata.model_validate(
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "authorization_response_iss_parameter_supported": says_who,
        }
    )
    return Authority(
        issuer=ISSUER,
        token_endpoint=f"{ISSUER}/token",
        authorization_endpoint=f"{ISSUER}/authorize",
        registration_endpoint=None,
        metadata=metadata,
    )


def asked() -> Question:
    return question(
        PLACE, authority(), user="ada", client_id="desk", redirect_uri="https://app.example/back", scope=None
    )


def back(question: Question, **fields: str) -> str:
    return f"https://app.example/back?{urlencode({'state': question.request.state, 'iss': ISSUER, **fields})}"


def test_the_code_is_read_from_the_answer() -> None:
    question = asked()
    assert code_in(PLACE, authority(), question, back(question, code="c1")) == "c1"


def test_an_issuer_that_does_not_say_who_it_is_is_believed_if_it_never_promised_to() -> None:
    question = asked()
    answer = back(question, code="c1").replace("iss=", "other=")
    assert code_in(PLACE, authority(says_who=False), question, answer) == "c1"
    with pytest.raises(ToolsetError):
        code_in(PLACE, authority(), question, answer)


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "c1", "state": "another"},
        {"code": "c1", "state": "ä"},
        {"code": "c1", "iss": "https://somebody.example"},
        {"error": "access_denied"},
        {"error": "<script>hush</script>"},
        {},
    ],
)
def test_an_answer_that_is_none_gives_no_code(fields: dict[str, str]) -> None:
    question = asked()
    with pytest.raises(ToolsetError) as failure:
        code_in(PLACE, authority(), question, back(question, **fields))
    assert "hush" not in str(failure.value)


def test_each_question_has_secrets_of_its_own_that_it_does_not_show() -> None:
    first, second = asked(), asked()
    assert first.request.state != second.request.state
    assert first.verifier != second.verifier
    assert first.verifier not in first.request.url
    assert first.request.state not in repr(first)
    assert first.verifier not in repr(first)
    assert parse_qs(urlsplit(first.request.url).query)["state"] == [first.request.state]
