"""What a browser shows of a conversation, as it happens."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, FilePayload, Page, Request, expect

from tests.examples.web.browser import scenes
from tests.examples.web.browser.site import Site, Visitor, visiting

_STEPS = """() => [...document.querySelectorAll(".turn .steps > *")].map((step) => [
    step.className,
    step.matches(".answer") ? step.innerHTML : step.textContent.replace(/\\s+/g, " "),
])"""


def _sends(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def test_an_answer_comes_token_by_token_and_ends_as_what_its_markdown_says(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    _sends(page, "Who are you?")
    expect(page.locator(".said-text")).to_have_text("Who are you?")

    ann.hears(talk, "token", text="I am **he")
    expect(page.locator(".answer")).to_have_text("I am **he")
    ann.hears(talk, "token", text="re**.")
    expect(page.locator(".answer")).to_have_text("I am **here**.")
    scenes.play(ann, talk, [scenes.complete("I am **here**.")])

    expect(page.locator(".answer strong")).to_have_text("here")
    expect(page.locator(".answer")).to_have_count(1)
    page.reload()
    expect(page.locator(".answer strong")).to_have_text("here")
    expect(page.locator(".turn")).to_have_count(1)


def test_text_that_is_retracted_disappears_and_what_follows_stands_in_its_place(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "Hello", "r1")
    scenes.play(ann, talk, [*scenes.tokens("Before. "), ("tool_request", scenes.LOOK)])
    scenes.play(ann, talk, [scenes.result(scenes.LOOK, "ok", "{}"), *scenes.tokens("A wrong answer")])
    expect(page.locator(".answer").last).to_have_text("A wrong answer")

    ann.hears(talk, "text_retracted", text="A wrong answer")
    expect(page.locator(".answer")).to_have_text(["Before. "])
    scenes.play(ann, talk, scenes.tokens("A right one"))

    expect(page.locator(".answer")).to_have_text(["Before. ", "A right one"])
    ann.hears(talk, "text_retracted", text=" one")
    expect(page.locator(".answer")).to_have_text(["Before. ", "A right"])


def test_a_tool_shows_as_a_card_with_what_it_was_asked_and_what_it_said(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "When?", "r1")
    ann.hears(talk, "tool_request", **scenes.LOOK)
    card = page.locator(".tool")
    expect(card.locator(".badge")).to_have_text("running")

    ann.hears(talk, "tool_progress", call_id="call_1", tool="x", progress=1.0, total=4.0, message="Reading")
    card.locator("summary").click()
    expect(card.locator(".progress")).to_have_text("Reading: 1 of 4")
    scenes.play(ann, talk, [scenes.result(scenes.LOOK, "error", "<b>no</b> calendar")])

    expect(card.locator(".badge")).to_have_text("failed")
    expect(card).to_contain_text('"days": 7')
    expect(card).to_contain_text("<b>no</b> calendar")
    page.reload()
    expect(page.locator(".tool .badge")).to_have_text("failed")


@pytest.mark.parametrize("end", [scenes.complete("On **Tuesday**."), scenes.FAILED], ids=["completed", "failed"])
def test_after_a_reload_a_turn_looks_as_it_did_live(ann: Visitor, end: tuple[str, dict[str, Any]]) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "When?", "r1")
    again = {**scenes.LOOK, "call_id": "call_9"}
    for words, call in (("I look at **it**. ", scenes.LOOK), ("Once more.\n\n", again)):
        scenes.play(ann, talk, [*scenes.tokens(words), ("tool_request", call), scenes.result(call, "ok", "{}")])
    scenes.play(ann, talk, [*scenes.tokens("On **Tue"), end])
    expect(page.locator(".turn")).to_have_attribute("data-status", re.compile("completed|failed"))

    live = page.evaluate(_STEPS)
    page.reload()

    assert page.evaluate(_STEPS) == live
    assert [kind for kind, _ in live][:4] == ["answer plain-text", "card tool", "answer plain-text", "card tool"], live


@pytest.mark.parametrize(("button", "word"), [("Allow", "allowed"), ("Deny", "denied")])
def test_a_call_that_needs_approval_waits_for_the_button(ann: Visitor, button: str, word: str) -> None:
    ann.site.stand_in.scripts[word] = [scenes.result(scenes.BOOK, word, ""), scenes.complete(f"It was {word}.")]
    talk = ann.begins()
    scenes.rich(ann, talk)
    page = ann.opens(f"/conversations/{talk}")
    expect(page.locator(".tool .badge").last).to_have_text("waits for you")

    page.get_by_role("button", name=button).click()

    expect(page.locator(".answer").last).to_have_text(f"It was {word}.")
    expect(page.locator(".approval")).to_have_count(0)


def test_a_decision_that_is_refused_is_said_on_its_card(ann: Visitor) -> None:
    talk = ann.begins()
    scenes.rich(ann, talk)
    page = ann.opens(f"/conversations/{talk}")
    page.locator(".approval input[name=digest]").evaluate("element => element.value = 'another'")

    page.get_by_role("button", name="Allow").click()

    expect(page.locator(".approval [role=alert]")).to_have_text("This is about another call.")
    expect(page.get_by_role("button", name="Allow")).to_be_enabled()


def test_escape_stops_the_answer_and_the_page_says_so(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    _sends(page, "Tell me everything")
    scenes.play(ann, talk, scenes.tokens("First there was"))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_hidden()

    page.keyboard.press("Escape")

    expect(page.locator(".turn .note")).to_have_text("Stopped. What had been said of this answer was not kept.")
    expect(page.locator(".answer")).to_have_count(0)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_a_message_that_is_refused_stays_in_the_box_with_the_reason(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    page.route("**/messages", lambda route: route.fulfill(status=429, json={"error": {"message": "too much today"}}))
    _sends(page, "Hello")

    expect(page.locator("#problem")).to_have_text("Too much today.")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")
    page.unroute("**/messages")
    page.keyboard.press("Enter")
    expect(page.locator(".said-text")).to_have_text("Hello")
    expect(page.locator("#problem")).to_be_hidden()


def test_shift_and_enter_begin_a_new_line(ann: Visitor) -> None:
    page = ann.opens(f"/conversations/{ann.begins()}")
    page.get_by_label("Message", exact=True).fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")

    expect(page.locator(".said-text")).to_have_text("one\ntwo")


def test_a_file_goes_along_with_a_message_and_its_passage_shows_under_the_answer(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    file = FilePayload(name="practice.md", mimeType="text/markdown", buffer=b"# Hours")
    page.locator("#file").set_input_files([file])
    expect(page.locator("#attached .chip a")).to_have_text("practice.md")
    _sends(page, "When is it open?")
    expect(page.locator(".said .chip a")).to_have_text("practice.md")
    expect(page.locator("#attached")).to_be_hidden()

    scenes.play(ann, talk, [scenes.complete("On Tuesday. [1]", citations=[scenes.CITATION])])
    page.get_by_text("practice.md Opening hours").click()

    expect(page.locator(".citations blockquote")).to_have_text(scenes.CITATION["text"])
    page.reload()
    expect(page.locator(".citations blockquote")).to_have_text(scenes.CITATION["text"])


def test_a_file_can_be_taken_away_again(ann: Visitor) -> None:
    page = ann.opens(f"/conversations/{ann.begins()}")
    file = FilePayload(name="a.txt", mimeType="text/plain", buffer=b"x")
    page.locator("#file").set_input_files([file])

    page.get_by_role("button", name="Do not send a.txt").click()
    _sends(page, "Hello")

    expect(page.locator(".said-text")).to_have_text("Hello")
    expect(page.locator(".said .chip")).to_have_count(0)


_SAID: list[tuple[str, dict[str, Any], str]] = [
    ("retrying", {"attempt": 2, "delay": 3.2, "error": {}}, "tried again in 4 seconds"),
    ("delayed", {"call": "model", "name": "m", "reason": "rate_limit", "expected": None}, "It goes on by itself"),
    ("delayed", {"call": "model", "name": "m", "reason": "queue", "expected": 0.4}, "in about a second"),
    ("fell_back", {"model": "a", "to": "b", "reason": "outage", "error": None}, "Another one is asked"),
    ("toolset_unavailable", {"toolset": "notes"}, "“notes” cannot be reached"),
    ("compacted", {"strategy": "x", "dropped_turns": 1, "tokens_before": 9, "tokens_after": 1}, "shortened form"),
    ("error", {"error": {"code": "unavailable", "message": "the model is away"}}, "The model is away."),
]


def test_what_delays_or_changes_an_answer_is_said_in_words(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "Hello", "r1")
    for name, data, words in _SAID:
        ann.hears(talk, name, **data)
        expect(page.locator(".turn .note:visible").filter(has_text=words)).to_have_count(1)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    page.reload()
    expect(page.locator(".turn").locator("[data-field=note]")).to_have_text(
        "The answer could not be finished. The model is away."
    )


def test_an_answer_that_failed_is_asked_for_again_once_with_its_files(ann: Visitor) -> None:
    file = {"id": ann.site.stand_in.has(ann.user.id, "practice.md"), "name": "practice.md"}
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "When is it\nopen?", "r1", [file])
    scenes.play(ann, talk, [*scenes.tokens("On Tu"), scenes.FAILED])
    again = page.get_by_role("button", name="Try again")

    page.route("**/messages", lambda route: route.fulfill(status=429, json={"error": {"message": "too much today"}}))
    again.click()
    expect(page.locator(".again [role=alert]")).to_have_text("Too much today.")
    page.unroute("**/messages")
    again.click()

    expect(page.locator(".said-text")).to_have_text(["When is it\nopen?"] * 2)
    expect(page.locator(".turn").last.locator(".said .chip a")).to_have_text("practice.md")
    expect(again).to_have_count(0)
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    scenes.play(ann, talk, [scenes.complete("On Tuesday.")])
    expect(page.locator(".answer")).to_have_text("On Tuesday.")
    assert len(ann.site.stand_in.held[ann.user.id, talk].turns) == 2


def test_a_page_that_is_opened_on_a_failed_answer_offers_to_try_again(ann: Visitor) -> None:
    talk = ann.begins()
    for request_id in ("r1", "r2"):
        scenes.say(ann, talk, "Hello", request_id)
        scenes.play(ann, talk, [scenes.FAILED])
    page = ann.opens(f"/conversations/{talk}")
    expect(page.get_by_role("button", name="Try again")).to_have_count(1)

    page.get_by_role("button", name="Try again").click()

    expect(page.locator(".turn")).to_have_count(3)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.reload()
    expect(page.locator(".turn").last).to_have_attribute("data-status", "running")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_without_javascript_a_failed_answer_is_asked_for_again_by_a_form(browser: Browser, site: Site) -> None:
    with visiting(browser, site, javascript=False) as ann:
        talk = ann.begins()
        scenes.say(ann, talk, "Hello", "r1", [{"id": site.stand_in.has(ann.user.id, "a.txt"), "name": "a.txt"}])
        scenes.play(ann, talk, [scenes.FAILED])
        page = ann.opens(f"/conversations/{talk}")

        page.get_by_role("button", name="Try again").click()

        expect(page.locator(".said-text")).to_have_text(["Hello", "Hello"])
        expect(page.locator(".said .chip a")).to_have_text(["a.txt", "a.txt"])


def test_a_second_tab_shows_the_same_as_it_happens(ann: Visitor) -> None:
    talk = ann.begins()
    one, two = ann.opens(f"/conversations/{talk}"), ann.opens(f"/conversations/{talk}?transport=sse")
    _sends(one, "Hello")
    expect(two.locator(".said-text")).to_have_text("Hello")

    scenes.play(ann, talk, scenes.tokens("Good day to both of you"))
    for tab in (one, two):
        expect(tab.locator(".answer")).to_have_text("Good day to both of you")
    two.get_by_role("button", name="Stop").click()

    for tab in (one, two):
        expect(tab.locator(".turn .note")).to_contain_text("Stopped")


_HOSTILE = """\
<script>window.ran = 1; alert(1)</script><img src="https://evil.example/a.png" onerror="window.ran = 1">
![a picture](https://evil.example/b.png) ![b](/sign-out) <svg onload="window.ran = 1"><style>*{display:none}</style>
[click](javascript:window.ran=1) [data](data:text/html,<script>alert(1)</script>) <form action="https://evil.example">

<iframe src="https://evil.example"></iframe> <base href="https://evil.example/">
<link rel=stylesheet href="//evil.example">
"""


def test_hostile_markdown_and_tool_results_run_and_load_nothing(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    elsewhere: list[str] = []
    dialogs: list[str] = []

    def see(request: Request) -> None:
        if not request.url.startswith(ann.site.url):
            elsewhere.append(request.url)

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("request", see)
    page.on("dialog", dismiss)
    for turn in ("r1", "r2"):
        scenes.say(ann, talk, _HOSTILE, turn, [{"id": "../../x", "name": "<img src=x onerror=window.ran=1>"}])
        card = {"call_id": '"><script>', "tool": "<b>x", "arguments": {"<img src=x>": "</pre><script>window.ran=1"}}
        events = [("tool_request", card), scenes.result(card, "ok", _HOSTILE), *scenes.tokens(_HOSTILE)]
        cited = {**scenes.CITATION, "text": _HOSTILE, "title": "<img src=x onerror=window.ran=1>"}
        scenes.play(ann, talk, [*events, scenes.complete(_HOSTILE, citations=[cited], request_id=turn)])
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".answer.plain-text")).to_have_count(0)
    page.reload()
    expect(page.locator(".answer")).to_have_count(2)
    for link in page.locator(".answer a").all():
        assert str(link.get_attribute("href") or "https:").startswith("https:")

    assert page.evaluate("window.ran") is None
    assert (elsewhere, dialogs) == ([], [])
    assert page.locator("main :is(script, img, svg, style, iframe, base, link)").count() == 0


def test_without_javascript_a_message_is_sent_by_a_form_and_answered_after_a_reload(
    browser: Browser, site: Site
) -> None:
    with visiting(browser, site, javascript=False) as ann:
        talk = ann.begins()
        page = ann.opens(f"/conversations/{talk}")
        page.get_by_label("Message", exact=True).fill("Hello")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".said-text")).to_have_text("Hello")

        scenes.play(ann, talk, [("approval_required", scenes.BOOK)])
        scenes.play(ann, talk, [scenes.complete(None, status="waiting")])
        site.stand_in.scripts["allowed"] = [scenes.complete("**Done**.")]
        page.reload()
        page.get_by_role("button", name="Allow").click()

        expect(page.locator(".answer strong")).to_have_text("Done")


def test_conversations_are_begun_renamed_and_deleted(ann: Visitor) -> None:
    page = ann.opens("/")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")

    page.get_by_label("Change “New conversation”").click()
    page.get_by_label("Title").fill("Recipes")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recipes")

    page.get_by_label("Change “Recipes”").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".empty")).to_be_visible()
