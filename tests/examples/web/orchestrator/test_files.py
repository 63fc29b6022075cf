"""Files of a user: uploaded, asked about, given back."""

from pathlib import Path

import pytest

from tests.examples.web.orchestrator.world import Person, World, running, text_of

pytestmark = pytest.mark.anyio

CONTRACT = b"# Contract\n\nThe notice period is three months.\n\n## Rent\n\nRent is due on the first of each month.\n"


def pdf_of(text: str) -> bytes:
    """Return a PDF of one page with a line of text."""
    drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    fonts = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources %s >>" % fonts,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
    ]
    written, places = b"%PDF-1.4\n", list[int]()
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + head + table + end


async def test_a_file_is_asked_about_and_cited(ann: Person) -> None:
    answer = await ann.upload("contract.md", CONTRACT)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert (file["name"], file["media_type"], file["size"]) == ("contract.md", "text/markdown", len(CONTRACT))
    assert file["passages"] > 0
    conversation = await ann.begin()
    events = await ann.say(conversation, "What does it say about the notice period?", files=(file["id"],))
    assert events[0].data["text"] == "What does it say about the notice period?"
    assert events[0].data["files"] == [{"id": file["id"], "name": "contract.md"}]
    assert "three months" in text_of(events)
    (cited,) = events[-1].data["citations"]
    assert (cited["source"], cited["title"], cited["label"] in text_of(events)) == (file["id"], "contract.md", True)
    assert "three months" in cited["text"]
    assert cited["place"].startswith("line")
    (turn,) = (await ann.get(f"/conversations/{conversation}"))["turns"]
    assert turn["citations"] == [cited]
    assert turn["user"]["files"] == events[0].data["files"]
    assert [call["tool"] for call in turn["tools"]] == ["search_documents"]


async def test_a_pdf_is_cited_by_its_page(ann: Person) -> None:
    answer = await ann.upload("letter.txt", pdf_of("The parcel weighs nine kilograms."))
    assert (answer.status_code, answer.json()["media_type"]) == (201, "application/pdf")
    events = await ann.say(await ann.begin(), "How much does the parcel weigh?")
    assert "nine kilograms" in text_of(events)
    assert [cited["place"] for cited in events[-1].data["citations"]] == ["page 1"]


async def test_a_file_is_given_back_to_be_saved_and_not_shown(ann: Person) -> None:
    file = (await ann.upload("../über <b>.html", b"<script>alert(1)</script>", "text/html")).json()
    answer = await ann.ask("GET", f"/files/{file['id']}")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BCber%20%3Cb%3E.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_tools_keep_in_the_same_place_is_no_uploaded_file(world: World, ann: Person) -> None:
    mine, kind = world.parts.artifacts.for_user(ann.id), "text/markdown; charset=utf-8"
    note = await mine.put(b"milk", name="Milk", media_type=kind)
    assert (await ann.get("/files"))["files"] == []
    for method in ("GET", "DELETE"):
        assert (await ann.ask(method, f"/files/{note.id}")).status_code == 404
    assert await mine.read(note.id) == b"milk"


async def test_files_are_listed_and_deleted(ann: Person) -> None:
    files = [(await ann.upload(f"{number}.txt", b"some words here")).json() for number in range(2)]
    assert (await ann.get("/files"))["files"] == files[::-1]
    assert (await ann.ask("DELETE", f"/files/{files[0]['id']}")).status_code == 204
    assert (await ann.get("/files"))["files"] == files[1:]
    for method in ("GET", "DELETE"):
        assert (await ann.ask(method, f"/files/{files[0]['id']}")).status_code == 404


async def test_another_users_file_does_not_exist(ann: Person, bob: Person) -> None:
    file = (await ann.upload("secret.md", CONTRACT)).json()
    for method in ("GET", "DELETE"):
        answer = await bob.ask(method, f"/files/{file['id']}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    conversation = await bob.begin()
    said = {"text": "what does it say?", "files": [file["id"]]}
    answer = await bob.ask(
        "POST", f"/conversations/{conversation}/messages", json=said, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 404
    assert "three months" not in text_of(await bob.say(conversation, "What do my files say about the notice period?"))
    assert (await bob.get("/files"))["files"] == []
    assert (await ann.ask("GET", f"/files/{file['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("broken.pdf", b"%PDF-1.7\nnothing that is a PDF", 422, "invalid"),
        ("empty.txt", b"", 422, "invalid"),
        ("program.txt", b"MZ\x90\0\0", 415, "unsupported"),
        ("picture.pdf", b"\x89PNG\r\n\x1a\n\0", 415, "unsupported"),
    ],
)
async def test_of_a_file_that_cannot_be_read_nothing_stays(
    ann: Person, name: str, data: bytes, status: int, code: str
) -> None:
    answer = await ann.upload(name, data, "application/pdf")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await ann.get("/files"))["files"] == []


async def test_a_form_without_a_file_is_refused(ann: Person) -> None:
    assert (await ann.ask("POST", "/files", data={"file": "text"})).status_code == 422
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await ann.ask("POST", "/files", content=b"--y", headers=headers)).status_code == 400
    two = [("file", ("a.txt", b"a", "text/plain")), ("file", ("b.txt", b"b", "text/plain"))]
    assert (await ann.ask("POST", "/files", files=two)).status_code == 400
    assert (await ann.get("/files"))["files"] == []


async def test_a_file_that_is_too_large_is_refused(tmp_path: Path, valkey_url: str) -> None:
    async with running(tmp_path, valkey_url, largest_file=1_000) as world:
        ann = world.person()
        assert (await ann.upload("a.txt", b"x" * 1_000)).status_code == 201
        for size in (1_001, 100_000):
            answer = await ann.upload("a.txt", b"x" * size)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert len((await ann.get("/files"))["files"]) == 1


async def test_a_message_is_shown_without_the_note_for_the_model_when_the_journal_tells_it(world: World) -> None:
    ann = world.person()
    file = (await ann.upload("contract.md", CONTRACT)).json()
    conversation, asked = await ann.begin(), "What does it say about the notice period?"
    events = await ann.say(conversation, asked, key="k", files=(file["id"],))
    await world.parts.log.erase_user(ann.id)
    again = await ann.say(conversation, asked, key="k", files=(file["id"],))
    said = {"request_id": "k", "text": asked, "files": [{"id": file["id"], "name": "contract.md"}]}
    assert [events[0].data, again[0].data] == [said, said]
