"""The pages, as a browser without JavaScript uses them."""

import hashlib
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from examples.flask_demo.frontend import pages
from tests.examples.web.frontend.surroundings import PUBLIC_URL, Browser, System, system
from tests.examples.web.stand_in import StandIn

STATIC = Path(pages.__file__).parent / "static"
CALL = {"call_id": "call_1", "tool": "book", "arguments": {"title": "<Dentist>"}, "digest": "d_1"}


def _form(browser: Browser, path: str, **fields: str) -> tuple[int, str]:
    """Send a form of ours; the status, and where it leads."""
    answer = browser.ask(
        "POST", path, data={"csrf_token": browser.csrf_token(), **fields}, headers={"Origin": PUBLIC_URL}
    )
    return answer.status_code, answer.headers.get("Location", answer.text)


def _begun(browser: Browser, stand_in: StandIn) -> tuple[str, str]:
    """Begin a conversation; whose it is, and its page."""
    status, page = _form(browser, "/conversations")
    assert status == 303
    return next(user for user, name in stand_in.held if name == page.rpartition("/")[2]), page


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(talking: System) -> None:
    nobody = talking.browser()

    assert nobody.get("/").headers["Location"] == "/sign-in"
    assert nobody.get("/conversations/c_1?a=b").headers["Location"] == "/sign-in?next=/conversations/c_1?a%3Db"
    page = nobody.get("/sign-in?next=/conversations/c_1")
    assert page.status_code == 200
    assert 'href="/sign-in/start?next=/conversations/c_1"' in page.text
    assert 'href="/sign-in/start"' in nobody.get("/sign-in").text


def test_a_form_of_who_is_not_signed_in_any_more_leads_to_the_sign_in(talking: System) -> None:
    nobody = talking.browser()

    assert _form(nobody, "/conversations/c_1/stop") == (302, "/sign-in?next=/conversations")


def test_who_is_signed_in_comes_to_the_conversations(ann: Browser) -> None:
    assert ann.get("/").headers["Location"] == "/conversations"
    assert ann.get("/sign-in").headers["Location"] == "/conversations"
    assert "There is none yet" in ann.get("/conversations").text


def test_a_conversation_is_begun_renamed_and_deleted(ann: Browser, stand_in: StandIn) -> None:
    _, page = _begun(ann, stand_in)
    assert "New conversation" in ann.get(page).text

    assert _form(ann, f"{page}/rename", title=" Food & drink ") == (303, f"{page}#end")
    assert "Food &amp; drink" in ann.get("/conversations").text
    assert _form(ann, f"{page}/delete") == (303, "/conversations")
    assert ann.get(page).status_code == 404


@pytest.mark.parametrize(("what", "fields"), [("rename", {"title": " "}), ("messages", {"text": ""}), ("messages", {})])
def test_a_form_without_words_is_refused(ann: Browser, stand_in: StandIn, what: str, fields: dict[str, str]) -> None:
    _, page = _begun(ann, stand_in)

    status, text = _form(ann, f"{page}/{what}", **fields)

    assert status == 422
    assert "at least one character" in text or "1 to 8000" in text


def test_a_message_is_sent_once_however_often_its_form_is(ann: Browser, stand_in: StandIn) -> None:
    user, page = _begun(ann, stand_in)
    key = re.search(r'name="key" value="(\w+)"', ann.get(page).text)
    assert key is not None

    for _ in range(2):
        assert _form(ann, f"{page}/messages", text="Hello <b>", key=key[1]) == (303, f"{page}#end")

    (turn,) = stand_in.held[user, page.rpartition("/")[2]].turns
    assert (turn["request_id"], turn["user"]["text"]) == (key[1], "Hello <b>")
    shown = ann.get(page).text
    assert "Hello &lt;b&gt;" in shown
    assert '<meta http-equiv="refresh"' in shown


def test_a_message_that_comes_while_one_is_answered_is_refused_in_words(ann: Browser, stand_in: StandIn) -> None:
    _, page = _begun(ann, stand_in)
    _form(ann, f"{page}/messages", text="One")

    status, text = _form(ann, f"{page}/messages", text="Two")

    assert status == 409
    assert "The conversation is busy." in text


def test_an_answer_can_be_stopped(ann: Browser, stand_in: StandIn) -> None:
    _, page = _begun(ann, stand_in)
    _form(ann, f"{page}/messages", text="One")

    assert _form(ann, f"{page}/stop") == (303, f"{page}#end")

    assert "Stopped." in ann.get(page).text


def test_a_failed_answer_can_be_asked_for_again_with_its_files(ann: Browser, stand_in: StandIn) -> None:
    user, page = _begun(ann, stand_in)
    talk = page.rpartition("/")[2]
    file = stand_in.has(user, "a.txt")
    said = {"text": "What is\n<in> it?", "files": [{"id": file, "name": "a.txt"}]}
    for number in range(2):
        stand_in.tell(user, talk, "message", {"request_id": f"r{number}", **said})
        stand_in.tell(user, talk, "error", {"error": {"code": "failed", "message": "it was cut off"}})
    shown = ann.get(page).text
    assert shown.count("Try again</button>") == 2, "of the last turn, and in its template"
    form = shown[shown.index('<form class="again"') :].partition("</form>")[0]
    fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}
    assert (fields["text"], fields["file"]) == (said["text"], file)

    for _ in range(2):
        fields["text"] = fields["text"].replace("\n", "\r\n")  # as browsers send it
        assert _form(ann, f"{page}/messages", **fields) == (303, f"{page}#end")

    *_, turn = stand_in.held[user, talk].turns
    assert len(stand_in.held[user, talk].turns) == 3
    assert (turn["request_id"], turn["user"]) == (fields["key"], said)


@pytest.mark.parametrize(("approve", "word"), [("yes", "allowed"), ("no", "denied")])
def test_a_call_that_waits_is_shown_and_decided(ann: Browser, stand_in: StandIn, approve: str, word: str) -> None:
    user, page = _begun(ann, stand_in)
    talk = page.rpartition("/")[2]
    stand_in.scripts[word] = [("complete", {"output": f"**{word}**", "status": "completed"})]
    events: list[tuple[str, dict[str, Any]]] = [
        ("message", {"request_id": "r", "text": "Book"}),
        ("tool_request", {"call_id": "call_0", "tool": "look", "arguments": {}}),
        ("tool_result", {"call_id": "call_0", "outcome": "ok", "text": "<free>"}),
        ("approval_required", CALL),
        ("complete", {"output": None, "status": "waiting"}),
    ]
    for name, data in events:
        stand_in.tell(user, talk, name, data)
    shown = ann.get(page).text
    assert "waits for you" in shown
    assert "&lt;free&gt;" in shown
    assert "&lt;Dentist&gt;" in shown
    action = re.search(r'action="(/conversations/[^"]+/approvals/[^"]+)"', shown)
    assert action is not None

    status, _ = _form(ann, unescape(action[1]), approve=approve, digest="d_1")

    assert status == 303
    assert f"<strong>{word}</strong>" in ann.get(page).text


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (("complete", {"output": "On **Tuesday**.", "status": "completed"}), "<p>On <strong>Tuesday</strong>.</p>"),
        (("complete", {"output": None, "status": "cancelled"}), None),
        (("error", {"error": {"code": "failed", "message": "it was cut off"}}), None),
    ],
    ids=["completed", "stopped", "failed"],
)
def test_a_turn_is_shown_in_the_order_in_which_it_was_told(
    ann: Browser, stand_in: StandIn, end: tuple[str, dict[str, Any]], last: str | None
) -> None:
    user, page = _begun(ann, stand_in)
    events: list[tuple[str, dict[str, Any]]] = [
        ("message", {"request_id": "r", "text": "When?"}),
        ("token", {"text": "I look "}),
        ("token", {"text": "at **both** <lists>."}),
        *_used("a"),
        *_used("b"),
        ("token", {"text": "One more."}),
        *_used("c"),
        ("token", {"text": "On **Tuesday**."}),
        end,
    ]
    for name, data in events:
        stand_in.tell(user, page.rpartition("/")[2], name, data)

    shown = ann.get(page).text.partition("<template")[0]

    found = re.findall(r'<div class="answer(?: plain-text)?">(.*?)</div>|data-call="([^"]*)"', shown, re.DOTALL)
    parts = ["I look at **both** &lt;lists&gt;.", "a", "b", "One more.", "c", *([] if last is None else [last])]
    assert [(text or call).strip() for text, call in found] == parts


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_that_there_will_not_be_is_not_shown(ann: Browser, stand_in: StandIn, status: str) -> None:
    user, page = _begun(ann, stand_in)
    stand_in.tell(user, page.rpartition("/")[2], "message", {"request_id": "r", "text": "When?"})
    (turn,) = stand_in.held[user, page.rpartition("/")[2]].turns
    turn["steps"] = [{"text": "I look.", "tools": []}, {"text": "On Tuesday.", "tools": []}]
    turn["status"] = status

    shown = ann.get(page).text

    assert "I look." in shown
    assert "On Tuesday." not in shown


def _used(call: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("tool_request", {"call_id": call, "tool": "look", "arguments": {}}),
        ("tool_result", {"call_id": call, "outcome": "ok", "text": ""}),
    ]


def test_the_pages_say_when_no_orchestrator_answers(ann: Browser, stand_in: StandIn) -> None:
    stand_in.is_down = True

    assert ann.get("/conversations").status_code == 503


def test_the_pages_say_when_no_orchestrator_can_be_reached(valkey_url: str, issuer: str, tmp_path: Path) -> None:
    with system(tmp_path, valkey_url, issuer, "http://127.0.0.1:1") as alone:
        browser = alone.browser()
        browser.sign_in("Ann")

        answer = browser.get("/conversations")

    assert answer.status_code == 503
    assert "cannot be reached" in answer.text


@pytest.mark.parametrize(
    ("message", "shown"), [(None, ""), ("", ""), ("say it again", "Say it again."), ("Is it you?", "Is it you?")]
)
def test_a_message_of_the_api_is_shown_as_a_sentence(message: str | None, shown: str) -> None:
    assert pages.sentence(message) == shown


def test_a_status_without_words_of_its_own_is_told_all_the_same(talking: System) -> None:
    with talking.frontend.app.test_request_context("/", base_url=PUBLIC_URL):
        answer = pages.told(pages.Problem(418))

    assert isinstance(answer, tuple)
    assert answer[1] == 418


def test_pages_load_nothing_from_elsewhere_and_have_nothing_inline(ann: Browser, stand_in: StandIn) -> None:
    _, page = _begun(ann, stand_in)
    for path in (page, "/conversations", "/files", "/nowhere"):
        shown = ann.get(path).text
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', shown)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", shown)
    for file in STATIC.glob("*.*s"):
        assert not re.search(r"https?://|@import|url\(", file.read_text(encoding="utf-8")), file


def test_what_is_vendored_is_what_its_table_says() -> None:
    for folder in (STATIC / "vendor", Path(__file__).parents[1] / "browser" / "vendor"):
        rows = re.findall(r"\| `([\w.]+)` \|.*`([0-9a-f]{64})` \|", (folder / "README.md").read_text(encoding="utf-8"))
        assert rows
        assert [name for name, _ in rows] == [file.name for file in folder.glob("*.js")]
        for name, digest in rows:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
