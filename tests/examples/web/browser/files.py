"""What a browser shows of one's files."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.examples.web.browser.site import Site, Visitor, visiting


def test_the_bar_leads_to_the_files_and_back(ann: Visitor) -> None:
    page = ann.opens("/conversations")
    bar = page.get_by_role("navigation", name="Pages")

    bar.get_by_role("link", name="Files").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Files")
    expect(page.locator(".empty")).to_be_visible()
    expect(bar.get_by_role("link", name="Files")).to_have_attribute("aria-current", "page")
    bar.get_by_role("link", name="Conversations").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Conversations")


def test_a_file_is_saved_as_it_was_uploaded(ann: Visitor, tmp_path: Path) -> None:
    ann.site.stand_in.has(ann.user.id, "practice.md", b"# Hours", "text/markdown")
    page = ann.opens("/files")

    with page.expect_download() as saving:
        page.get_by_role("link", name="practice.md").click()

    assert saving.value.suggested_filename == "practice.md"
    saving.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == b"# Hours"


@pytest.mark.parametrize("javascript", [True, False])
def test_a_file_is_deleted_by_keyboard_after_a_question(browser: Browser, site: Site, *, javascript: bool) -> None:
    with visiting(browser, site, javascript=javascript) as ann:
        kept, gone = (site.stand_in.has(ann.user.id, name) for name in ("kept.txt", "gone.txt"))
        page = ann.opens("/files")
        question = page.get_by_role("button", name="Delete for good")
        expect(question).to_have_count(0)

        page.get_by_role("link", name="gone.txt").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(question).to_be_visible()
        assert gone in site.stand_in.files
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        expect(page.get_by_role("link", name="gone.txt")).to_have_count(0)
        expect(page.get_by_role("link", name="kept.txt")).to_be_visible()
        assert kept in site.stand_in.files
        assert gone not in site.stand_in.files
