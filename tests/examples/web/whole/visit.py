"""A browser that looks at the whole system, and somebody who uses it."""

import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
WAIT = 30_000
"""Milliseconds that a page has for anything."""


@contextmanager
def browsing() -> Generator[Browser]:
    """Start a browser."""
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        with closing(started):
            yield started


class Visit:
    """Somebody who is signed in, in a browser of their own, and talks in one conversation."""

    def __init__(self, context: BrowserContext, url: str, name: str) -> None:
        """Sign in by way of the identity provider, and begin a conversation."""
        self.context: BrowserContext = context
        self.url: str = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.goto(url)
        self.page.get_by_role("link", name="Sign in").or_(self.page.get_by_role("button", name="Sign in")).first.click()
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page).to_have_url(re.compile(r"/conversations$"))
        self.page.get_by_role("button", name="New conversation").first.click()
        expect(self.page).to_have_url(re.compile(r"/conversations/c_"))

    def say(self, text: str) -> Locator:
        """Say something, and return its turn."""
        number = self.page.locator(".turn").count()
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.page.locator(".turn")).to_have_count(number + 1)
        return self.page.locator(".turn").nth(number)

    def attach(self, file: Path) -> None:
        """Attach a file to the next message."""
        self.page.locator("#file").set_input_files(file)
        expect(self.page.locator("#attached").get_by_role("link", name=file.name)).to_be_visible()

    def second_tab(self) -> Page:
        """Open the conversation once more."""
        page = self.context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(self.page.url)
        return page


@contextmanager
def visiting(browser: Browser, url: str, name: str, *, width: int = 1280, dark: bool = False) -> Generator[Visit]:
    """Sign somebody in."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    with closing(context):
        yield Visit(context, url, name)


def status(turn: Locator, wanted: str) -> None:
    """Wait until a turn has a status."""
    expect(turn).to_have_attribute("data-status", wanted)
