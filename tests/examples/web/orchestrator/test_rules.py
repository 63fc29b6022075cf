"""What the rule-based model understands, with the tools of the tool servers themselves."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from assistant_kit import Assistant, Documents, DocumentSearch, MemoryIndex, Result, citations, tool
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from examples.flask_demo.orchestrator.attachments import Attached, message_of
from examples.flask_demo.rules import web_model
from examples.flask_demo.tool_servers.calendar import Calendar, calendar_tools
from examples.flask_demo.tool_servers.notes import Notes, notes_tools
from examples.flask_demo.tool_servers.search import Handbook

pytestmark = pytest.mark.anyio


@pytest.fixture
async def assistant(tmp_path: Path) -> AsyncIterator[Assistant[str]]:
    """An assistant in basic mode; it is Sunday, 2026-11-22."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tools.db'}")
    calendar, notes = Calendar(engine), Notes(engine, MemoryArtifactStore())
    calendar.open()
    notes.open()
    handbook, uploads = Handbook(MemoryIndex()), Documents(MemoryIndex())
    await handbook.open()
    await uploads.for_user("ann").add("f1", "# Contract\n\nThe notice period is three months.\n\nPets are allowed.")
    tools = [
        calendar_tools(calendar, lambda: datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        notes_tools(notes),
        handbook.search(),
        DocumentSearch(uploads, scope="user"),
    ]
    async with Assistant(web_model(0), tools=tools, store="memory:") as assistant:
        yield assistant
    engine.dispose()


async def say(assistant: Assistant[str], text: str) -> Result[str]:
    return await assistant.run(text, user="ann", conversation="c")


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (("Hi there, what time is it in Tokyo, please?",), ("In Tokyo it is Sunday, 2026-11-22 18:30",)),
        (("What is the date?",), ("It is Sunday, 2026-11-22 09:30",)),
        (("Could you tell me the time in Nowhereland?",), ("I cannot tell:",)),
        (("How many days between 2026-11-22 and 2026-12-25?",), ("33 days, of which 24 are working days.",)),
        (
            (
                "put dentist on tomorrow at 10:30 in my calendar",
                "what's on my calendar?",
                "show my calendar for today",
                "add party on 2026-12-24",
                "add nothing on 2026-99-99",
            ),
            (
                "dentist is in your calendar on 2026-11-23.",
                "- 2026-11-23 10:30: dentist",
                "There is nothing",
                "party is in your calendar on 2026-12-24.",
                "That did not work:",
            ),
        ),
        (
            (
                "Take a note called Shopping: milk and bread",
                "show my notes",
                "add eggs to my note shopping",
                "read the note Shopping",
                "What does my note Shopping say?",
                "What's in my note Shopping?",
                "read the note Travel",
            ),
            (
                "I have made the note Shopping.",
                "- Shopping",
                "I have added that",
                "milk and bread\neggs",
                "milk and bread\neggs",
                "milk and bread\neggs",
                "no note called",
            ),
        ),
        (("show my notes",), ("You have no notes.",)),
        (("Sing me a song",), ("I did not understand that.",)),
        (("count to 4",), ("1 2 3 4",)),
    ],
)
async def test_plain_sentences(assistant: Assistant[str], said: tuple[str, ...], answers: tuple[str, ...]) -> None:
    for text, answer in zip(said, answers, strict=True):
        assert answer in (await say(assistant, text)).output


async def test_files_and_the_handbook_are_quoted_with_labels(assistant: Assistant[str]) -> None:
    result = await say(assistant, "What do my files say about the notice period?")
    (known,) = citations(result).known
    assert (known.source, "three months" in result.output) == ("f1", True)
    result = await say(assistant, "How large may a file be at most?")
    assert "10 megabytes" in result.output
    assert citations(result, tool="search_handbook").known[0].source == "files.md"
    assert "pseudonym" in (await say(assistant, "What does the handbook say about privacy?")).output
    assert "Neither" in (await say(assistant, "Who wrote Faust?")).output


async def test_a_note_on_attached_files_does_not_disturb(assistant: Assistant[str]) -> None:
    said = message_of("Are pets allowed?", [Attached(id="f1", name="a.md")])
    result = await assistant.run(said, user="ann", conversation="c")
    assert "Pets are allowed." in result.output


async def test_deleting_a_note_that_is_not_there_is_told(assistant: Assistant[str]) -> None:
    await say(assistant, "make a note called Milk: buy it")
    assert "no note called" in (await say(assistant, "delete the note Bread")).output
    assert "I have deleted Milk." in (await say(assistant, "delete the note milk")).output


async def test_without_tools_it_says_what_it_cannot_do() -> None:
    async with Assistant(web_model(0), tools=[], store="memory:") as bare:
        for said in (
            "show my notes",
            "read the note Milk",
            "show my calendar",
            "add party on tomorrow",
            "what do my files say about rent",
        ):
            output = (await say(bare, said)).output
            assert any(word in output for word in ("cannot be read", "did not work", "Neither")), (said, output)


async def test_a_note_stays_that_was_not_to_be_deleted() -> None:
    @tool
    def list_notes() -> list[dict[str, str]]:
        """List notes."""
        return [{"title": "Milk"}]

    @tool(needs_approval=True)
    def delete_note(title: str) -> str:
        """Delete a note."""
        return title

    async with Assistant(web_model(0), tools=[list_notes, delete_note], store="memory:") as careful:
        waiting = await say(careful, "delete the note Milk")
        conversation = careful.conversation("c", user="ann")
        await conversation.deny(waiting.waiting_for[0].call_id)
        assert (await conversation.resume()).output == "As you like: Milk stays."
