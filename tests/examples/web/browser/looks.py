"""The pages fit, can be read, and can be used by everybody."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.examples.web.browser import scenes
from tests.examples.web.browser.site import Site, Visitor, visiting

_FILES = {
    "the-minutes-of-all-meetings-of-the-cooperative-from-2019-to-2026-as-signed.pdf": "application/pdf",
    "A list of what there is to do in November.txt": "text/plain",
    "practice.md": "text/markdown",
}
_AXE = Path(__file__).parent / "vendor" / "axe.min.js"


def _problems(page: Page) -> list[tuple[str, str]]:
    """Return the serious violations that axe-core finds: the rule, and where."""
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        (violation["id"], node["html"])
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


def _is_wider_than_the_window(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_and_have_no_serious_barrier(
    browser: Browser, site: Site, screenshots: Path, *, width: int, dark: bool
) -> None:
    name = f"{width}-{'dark' if dark else 'light'}"
    with visiting(browser, site, width=width, dark=dark) as ann:
        talk = ann.begins("The dentist, and what else there is to do on that Tuesday in November")
        page = ann.opens(f"/conversations/{talk}")
        scenes.rich(ann, talk)
        expect(page.get_by_role("button", name="Allow")).to_be_visible()
        for summary in page.locator("main summary").all():
            summary.evaluate("element => element.parentElement.open = true")
        _looked_at(page, screenshots / f"chat-{name}.png")
        scenes.play(ann, talk, [scenes.FAILED])
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        _looked_at(page, screenshots / f"failed-{name}.png")
        page.goto(f"{site.url}/files")
        _looked_at(page, screenshots / f"no-files-{name}.png")
        for title, kind in _FILES.items():
            site.stand_in.has(ann.user.id, title, b"a" * 123_456, kind)
        page.reload()
        page.get_by_label("Delete “practice.md”").click()
        expect(page.get_by_role("button", name="Delete for good")).to_be_visible()
        _looked_at(page, screenshots / f"files-{name}.png")
        page.goto(f"{site.url}/conversations")
        _looked_at(page, screenshots / f"list-{name}.png")
        page.goto(f"{site.url}/conversations/c_none")
        _looked_at(page, screenshots / f"not-found-{name}.png")
        ann.context.clear_cookies()
        page.goto(f"{site.url}/sign-in")
        _looked_at(page, screenshots / f"sign-in-{name}.png")


def _looked_at(page: Page, screenshot: Path) -> None:
    page.screenshot(path=screenshot)
    assert not _is_wider_than_the_window(page)
    assert _problems(page) == []


def test_a_screen_reader_hears_whole_sentences(ann: Visitor) -> None:
    talk = ann.begins()
    page = ann.opens(f"/conversations/{talk}")
    scenes.say(ann, talk, "Tell me", "r1")
    said = page.locator("#announcer p")

    scenes.play(ann, talk, scenes.tokens("It is late. We should "))
    expect(said).to_have_text(["It is late."])
    scenes.play(ann, talk, [*scenes.tokens("go"), scenes.complete("It is late. We should go", request_id="r1")])

    expect(said).to_have_text(["It is late.", "We should go"])


def test_the_theme_is_kept_and_the_keyboard_leads_past_the_bar(ann: Visitor) -> None:
    page = ann.opens("/conversations")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    page.get_by_role("button", name="Dark colours").click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Dark colours")).to_have_attribute("aria-pressed", "true")
