"""A browser whose connection is lost shows so, comes back, and has everything once."""

import json

import pytest
from playwright.sync_api import Route, expect

from tests.examples.web.browser import scenes
from tests.examples.web.browser.site import Visitor

_NO_SOCKETS = """
    window.WebSocket = class extends WebSocket {
        constructor(url) { super(url.replace("/socket.io/", "/nowhere/")); }
    };
"""
_WORDS = [f"word{number} " for number in range(200)]


@pytest.mark.parametrize("transport", ["", "?transport=sse"])
def test_a_browser_that_was_away_in_mid_answer_has_every_token_once(ann: Visitor, transport: str) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}{transport}")
    scenes.say(ann, talk, "Count", "r1")
    for word in _WORDS[:100]:
        ann.hears(talk, "token", text=word)
    expect(page.locator(".answer")).to_contain_text("word99")

    ann.context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("The connection is lost. Trying again…")
    for word in _WORDS[100:]:
        ann.hears(talk, "token", text=word)
    ann.context.set_offline(False)

    expect(page.locator("#connection")).to_have_text("Connected again.")
    expect(page.locator(".answer")).to_contain_text("word199")
    assert page.locator(".answer").evaluate("element => element.textContent") == "".join(_WORDS)


def test_a_socket_that_breaks_in_mid_answer_is_opened_again_and_goes_on_where_it_was(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "Count", "r1")
    expect(page.locator(".said-text")).to_have_text("Count")
    for part in range(3):
        for word in _WORDS[part * 50 : part * 50 + 50]:
            ann.hears(talk, "token", text=word)
        ann.site.break_sockets()
    ann.hears(talk, "token", text="end")

    expect(page.locator(".answer")).to_contain_text("end")
    expect(page.locator("#connection")).to_have_text("Connected again.")
    assert page.locator(".answer").evaluate("element => element.textContent") == "".join(_WORDS[:150]) + "end"
    assert ann.site.stand_in.followed[-1] > 1


def test_an_event_that_is_told_again_is_shown_once_and_the_next_one_is_asked_for(ann: Visitor) -> None:
    page = ann.opens(f"/conversations/{ann.begins()}")
    events = [("message", {"request_id": "r", "text": "Hi"}), *(("token", {"text": word}) for word in _WORDS[:3])]
    lines = [
        f"id: {at}\nevent: {name}\ndata: {json.dumps({**data, 'id': at})}\n\n"
        for at, (name, data) in enumerate(events, 1)
    ]
    page.route(
        "**/events?*", lambda route: route.fulfill(body="".join(lines + lines[1:]), content_type="text/event-stream")
    )
    page.goto(f"{page.url}?transport=sse")
    for _ in range(2):  # after the second one, what was told to the first one has been taken
        with page.expect_event("request", lambda request: request.url.endswith("/events?after=4")):
            pass

    assert page.locator(".answer").evaluate("element => element.textContent") == "".join(_WORDS[:3])
    expect(page.locator(".turn")).to_have_count(1)


def test_events_of_turns_that_the_page_already_shows_are_not_shown_again(ann: Visitor) -> None:
    talk = ann.begins()
    scenes.say(ann, talk, "One", "r1")
    scenes.play(ann, talk, [*scenes.tokens("*First*"), scenes.complete("*First*", request_id="r1")])
    scenes.say(ann, talk, "Two", "r2")
    scenes.play(ann, talk, scenes.tokens("Second"))
    ann.site.stand_in.held[ann.user.id, talk].is_early = True

    page = ann.opens(f"/conversations/{talk}")

    expect(page.locator(".answer")).to_have_text(["First", "Second"])
    expect(page.locator("#announcer")).not_to_contain_text("First")
    expect(page.locator(".turn")).to_have_count(2)


def test_a_browser_without_websockets_reads_server_sent_events_by_itself(ann: Visitor) -> None:
    talk = ann.begins()
    ann.context.add_init_script(_NO_SOCKETS)
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "Hello", "r1")

    scenes.play(ann, talk, [*scenes.tokens("Hi"), scenes.complete("*Hi*", request_id="r1")])

    expect(page.locator(".answer em")).to_have_text("Hi")
    assert ("GET", f"/api/v1/conversations/{talk}/events") in ann.site.stand_in.asked


@pytest.mark.parametrize("transport", ["", "?transport=sse"])
def test_when_no_orchestrator_answers_the_page_says_so_and_goes_on_when_one_does(ann: Visitor, transport: str) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}{transport}")
    scenes.say(ann, talk, "Hello", "r1")
    scenes.play(ann, talk, scenes.tokens("One "))
    expect(page.locator(".answer")).to_have_text("One ")

    ann.site.stand_in.cut()
    expect(page.locator("#connection")).to_have_text("The assistant cannot be reached at the moment. Trying again…")
    ann.site.stand_in.is_down = False
    scenes.play(ann, talk, scenes.tokens("two"))

    expect(page.locator(".answer")).to_have_text("One two")
    expect(page.locator("#connection")).to_have_text("Connected again.")


@pytest.mark.parametrize("transport", ["", "?transport=sse"])
def test_a_browser_whose_place_was_forgotten_reads_the_conversation_anew(ann: Visitor, transport: str) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}{transport}")
    scenes.say(ann, talk, "Hello", "r1")
    scenes.play(ann, talk, scenes.tokens("The first half"))
    expect(page.locator(".answer")).to_have_text("The first half")
    ann.context.set_offline(True)
    expect(page.locator("#connection")).to_be_visible()
    scenes.play(ann, talk, [*scenes.tokens("and more"), scenes.complete("The *whole* answer", request_id="r1")])
    ann.site.stand_in.trim(ann.user.id, talk)
    ann.context.set_offline(False)

    expect(page.locator(".answer")).to_have_text("The whole answer")
    scenes.say(ann, talk, "And now?", "r2")
    scenes.play(ann, talk, scenes.tokens("Live again"))
    expect(page.locator(".answer").last).to_have_text("Live again")
    expect(page.locator(".turn")).to_have_count(2)


def test_a_page_that_is_opened_in_mid_answer_shows_all_of_it(ann: Visitor) -> None:
    talk = ann.begins()
    scenes.rich(ann, talk)
    scenes.play(ann, talk, [("approved", {"call_id": "call_2", "approved": True})])
    scenes.play(ann, talk, [scenes.complete("Booked.", request_id="r2")])
    scenes.say(ann, talk, "And then?", "r3")
    scenes.play(ann, talk, [("tool_request", {**scenes.LOOK, "call_id": "call_3"}), *scenes.tokens("Then you ")])

    page = ann.opens(f"/conversations/{talk}")
    expect(page.locator(".answer").last).to_have_text("Then you ")
    scenes.play(ann, talk, scenes.tokens("go home"))

    expect(page.locator(".answer").last).to_have_text("Then you go home")
    expect(page.locator(".turn").last.locator(".tool")).to_have_count(1)
    expect(page.locator(".turn")).to_have_count(3)


@pytest.mark.parametrize("transport", ["", "?transport=sse"])
def test_who_is_signed_out_is_told_and_led_back_after_signing_in(ann: Visitor, transport: str) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}{transport}")
    scenes.say(ann, talk, "Hello", "r1")
    expect(page.locator(".said-text")).to_have_text("Hello")
    ann.opens("/leave").close()

    scenes.play(ann, talk, [scenes.complete("Bye", request_id="r1")])
    scenes.say(ann, talk, "Are you there?", "r2")

    expect(page.locator("#connection")).to_have_text("You are signed out. Sign in")
    expect(page.locator(".turn")).to_have_count(1)
    assert page.locator("#connection a").get_attribute("href") == f"/sign-in?next=%2Fconversations%2F{talk}"


@pytest.mark.parametrize("transport", ["", "?transport=sse"])
def test_who_has_signed_in_anew_in_another_tab_goes_on_in_this_one(ann: Visitor, transport: str) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}{transport}")
    scenes.say(ann, talk, "Hello", "r1")
    scenes.play(ann, talk, [scenes.complete("Hi", request_id="r1")])
    expect(page.locator(".answer")).to_have_text("Hi")
    ann.opens("/leave").close()
    ann.context.clear_cookies()
    ann.opens(f"/enter/{ann.user.id}").close()

    scenes.say(ann, talk, "Are you there?", "r2")

    expect(page.locator(".said-text").last).to_have_text("Are you there?")
    expect(page.locator("#connection")).not_to_contain_text("signed out")


def test_a_message_arrives_once_though_the_connection_is_lost_when_it_is_sent(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    lost: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append("answer")
            route.fetch()
            route.abort()

    page.route("**/messages", lose_the_first_answer)
    page.get_by_label("Message", exact=True).fill("Only once")
    page.keyboard.press("Enter")

    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    expect(page.locator(".turn")).to_have_count(1)
    posts = [path for method, path in ann.site.stand_in.asked if method == "POST" and talk in path]
    assert len(posts) == 2
