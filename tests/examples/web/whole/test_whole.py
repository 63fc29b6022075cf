"""The whole system, with two orchestrators on one Postgres and one Redis, as somebody sees it in a browser."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.examples.web.system import System, last_asked, running_system
from tests.examples.web.whole.visit import CHROMIUM, Visit, browsing, status, visiting

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium: apt-get install chromium")

COUNTED = " ".join(str(number) for number in range(1, 201))
LEASE = """# Lease

The notice period is three months to the end of a quarter.

Pets are allowed, except crocodiles.
"""


def test_what_people_do_in_a_browser_comes_right_also_when_an_orchestrator_is_killed(tmp_path: Path) -> None:
    # One test: starting all of it takes as long as what is done with it.
    with running_system(tmp_path / "data", orchestrators=2, postgres=True) as system, browsing() as browser:
        with visiting(browser, system.url, "Ann") as ann:
            tokens_are_seen_as_they_come_here_and_in_a_second_tab_and_after_a_lost_connection(ann)
        with visiting(browser, system.url, "Bob") as bob:
            an_answer_is_stopped(bob)
            the_rest_of_an_answer_comes_from_the_other_orchestrator(bob, system)
        with visiting(browser, system.url, "Cay") as cay:
            somebody_talks_allows_a_tool_asks_about_a_file_and_signs_out(cay, tmp_path)


def picture(visit: Visit, folder: Path, name: str) -> None:
    """Keep what is seen: in the folder that SCREENSHOTS names, else in one that is thrown away."""
    kept = Path(os.environ.get("SCREENSHOTS") or folder)
    kept.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=kept / f"whole-{name}.png")


def somebody_talks_allows_a_tool_asks_about_a_file_and_signs_out(ann: Visit, tmp_path: Path) -> None:
    turn = ann.say("What time is it in Tokyo?")
    status(turn, "completed")
    expect(turn.locator(".tool-name")).to_have_text("current_time")
    expect(turn.locator(".answer")).to_contain_text("Asia/Tokyo")

    status(ann.say("Take a note called Shopping: milk and bread"), "completed")
    turn = ann.say("Delete the note Shopping")
    status(turn, "waiting")
    picture(ann, tmp_path, "approval")
    turn.get_by_role("button", name="Allow").click()
    status(turn, "completed")
    turn = ann.say("Show my notes")
    status(turn, "completed")
    expect(turn.locator(".answer")).not_to_contain_text("Shopping")

    file = tmp_path / "lease.md"
    file.write_text(LEASE)
    ann.attach(file)
    turn = ann.say("What do my files say about the notice period?")
    status(turn, "completed")
    expect(turn.locator(".answer")).to_contain_text("three months to the end of a quarter")
    expect(turn.locator(".citations")).to_contain_text("lease.md")
    picture(ann, tmp_path, "citation")

    conversation = ann.page.url
    ann.page.get_by_role("button", name="Sign out").click()
    expect(ann.page).to_have_url(re.compile(f"{re.escape(ann.url)}/?(sign-in.*)?$"))
    ann.page.goto(conversation)
    expect(ann.page).to_have_url(re.compile("/sign-in"))


def tokens_are_seen_as_they_come_here_and_in_a_second_tab_and_after_a_lost_connection(ann: Visit) -> None:
    other = ann.second_tab()
    turn = ann.say("Count to 200")
    expect(turn.locator(".answer")).to_contain_text("1 2 3")
    status(turn, "running")
    ann.context.set_offline(True)
    expect(ann.page.locator("#connection")).to_be_visible()
    ann.context.set_offline(False)

    status(turn, "completed")
    expect(turn.locator(".answer")).to_have_text(COUNTED)
    expect(other.locator(".turn .answer")).to_have_text(COUNTED)


def an_answer_is_stopped(ann: Visit) -> None:
    turn = ann.say("Count to 400")
    expect(turn.locator(".answer")).to_contain_text("1 2 3")
    ann.page.get_by_role("button", name="Stop").click()
    status(turn, "cancelled")
    expect(ann.say("Count to 3").locator(".answer")).to_have_text("1 2 3")


def the_rest_of_an_answer_comes_from_the_other_orchestrator(ann: Visit, system: System) -> None:
    ann.page.get_by_role("button", name="New conversation").first.click()
    expect(ann.page.locator(".turn")).to_have_count(0)
    turn = ann.say("Count to 200")
    expect(turn.locator(".answer")).to_contain_text("1 2 3")
    killed = system.children[last_asked(system)]
    killed.signal(signal.SIGKILL)
    try:
        status(turn, "completed")
        expect(turn.locator(".answer")).to_have_text(COUNTED)
        ann.page.reload()
        expect(ann.page.locator(".turn .answer")).to_have_text(COUNTED)
    finally:
        system.children.mend(lambda _: None)
        killed.wait()
