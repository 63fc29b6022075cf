"""The page of one's files, as a browser without JavaScript uses it."""

import pytest

from examples.flask_demo.frontend.files import size
from tests.examples.web.frontend.surroundings import PUBLIC_URL, Browser, System
from tests.examples.web.stand_in import NOW, StandIn


def _user(browser: Browser) -> str:
    with browser.http.session_transaction(base_url=PUBLIC_URL) as session:
        return session["user"]["id"]


def _deletes(browser: Browser, file: str) -> tuple[int, str]:
    """Press the button under a file; the status, and where it leads."""
    fields = {"csrf_token": browser.csrf_token()}
    answer = browser.ask("POST", f"/files/{file}/delete", data=fields, headers={"Origin": PUBLIC_URL})
    return answer.status_code, answer.headers.get("Location", answer.text)


def test_who_has_no_file_is_told_how_to_get_one(ann: Browser) -> None:
    assert "There is none yet. Attach a text" in ann.get("/files").text


def test_files_are_listed_saved_and_deleted(ann: Browser, stand_in: StandIn) -> None:
    one = stand_in.has(_user(ann), "<one>.txt", b"some words")
    two = stand_in.has(_user(ann), "two.pdf", b"%PDF-1.7" + b" " * 2_000_000, "application/pdf")

    page = ann.get("/files").text
    assert page.index("two.pdf") < page.index("&lt;one&gt;.txt")
    assert "Text · 10 bytes · 1 passage ·" in page
    assert "PDF · 2.0 MB · 1 passage ·" in page
    assert f'datetime="{NOW}">2026-11-22 20:00 UTC' in page
    assert f'href="/api/v1/files/{one}" download' in page
    assert ann.get(f"/api/v1/files/{one}").data == b"some words"

    assert _deletes(ann, one) == (303, "/files")
    assert _deletes(ann, one) == (303, "/files"), "it is gone, as was wanted"
    page = ann.get("/files").text
    assert "one" not in page.partition("<main")[2].replace("none", "")
    assert f'action="/files/{two}/delete"' in page


def test_a_file_of_somebody_else_is_neither_shown_nor_deleted(ann: Browser, talking: System, stand_in: StandIn) -> None:
    file = stand_in.has(_user(ann), "mine.txt")
    bob = talking.browser()
    bob.sign_in("Bob")

    assert "mine.txt" not in bob.get("/files").text
    assert _deletes(bob, file) == (303, "/files")

    assert file in stand_in.files


def test_a_file_is_deleted_by_a_form_of_ours_alone(ann: Browser, stand_in: StandIn) -> None:
    file = stand_in.has(_user(ann), "mine.txt")

    assert ann.ask("POST", f"/files/{file}/delete", data={"csrf_token": "another"}).status_code == 403
    assert ann.get(f"/files/{file}/delete").status_code == 405

    assert file in stand_in.files


def test_files_of_who_is_not_signed_in_lead_to_the_sign_in(talking: System) -> None:
    assert talking.browser().get("/files").headers["Location"] == "/sign-in?next=/files"


def test_the_page_of_files_says_when_they_cannot_be_reached(ann: Browser, stand_in: StandIn) -> None:
    file = stand_in.has(_user(ann), "mine.txt")
    stand_in.is_down = True

    assert ann.get("/files").status_code == 503
    assert _deletes(ann, file)[0] == 503


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (10_000_000, "10 MB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_a_size_is_shown_as_people_read_it(count: int, shown: str) -> None:
    assert size(count) == shown
