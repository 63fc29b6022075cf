"""What comes into a masked assistant is masked before it is stored or sent, and what leaves it is restored."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from assistant_kit import Assistant, Context, RecoverySettings, Settings, WindowSettings
from assistant_kit.deadline import Deadline
from assistant_kit.entries import (
    Compacted,
    ModelResponded,
    Summary,
    TurnFinished,
    TurnSuspended,
)
from assistant_kit.errors import (
    InputError,
    ModelRejected,
    ModelUnavailable,
    OutputInvalid,
    StoreUnavailable,
)
from assistant_kit.events import TextRetracted
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import Pattern, RuleMasker, standard
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
    UserInput,
    UserMessage,
)
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.memory import Extracted, UserMemory
from assistant_kit.protocols.model import Model, ModelResponse
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Fail, Refuse, Say, ScriptedModel
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage
from tests.faulty_store import FaultyStore
from tests.run.failing_vault import FailingVault
from tests.run.masked_talk import BOB, CARL, EVE, PRIVATE, Talk
from tests.run.test_preparation import Notebook

pytestmark = pytest.mark.anyio


async def test_a_run_names_its_user_as_pseudonyms_belong_to_one() -> None:
    assistant = Talk().assistant
    with pytest.raises(InputError):
        await assistant.run("hello")
    with pytest.raises(InputError):
        async with assistant.stream("hello") as run:
            await run.result()


async def test_a_one_off_run_is_masked_as_well() -> None:
    talk = Talk("To <EMAIL_1>.")
    result = await talk.assistant.run(f"Write to {BOB}", user="ann")
    assert result.output == result.text == f"To {BOB}."
    assert [item.content for item in result.messages if isinstance(item, UserMessage)] == [
        (Text(text=f"Write to {BOB}"),)
    ]
    assert_no_leak(repr(talk.model.requests), PRIVATE)


FILES: list[tuple[UserInput, UserInput]] = [
    (Image(url=f"https://example.org/?to={BOB}"), Image(url="https://example.org/?to=<EMAIL_1>")),
    (Image(data=BOB.encode(), media_type="image/png"), Image(data=BOB.encode(), media_type="image/png")),
    (File(data=BOB.encode(), filename=f"{BOB}"), File(data=b"<EMAIL_1>", filename="<EMAIL_1>")),
    (File(data=b"%PDF-1.7 " + BOB.encode()), File(data=b"%PDF-1.7 " + BOB.encode())),
    (File(data=b"\xff\xfe x", filename="a"), File(data=b"\xff\xfe x", filename="a")),
    (File(url="https://example.org/a"), File(url="https://example.org/a")),
]


@pytest.mark.parametrize(("given", "sent"), FILES)
async def test_names_addresses_and_text_of_files_are_masked(given: Any, sent: Any) -> None:
    talk = Talk("ok")
    await talk.chat.run(["Look:", given])
    (message,) = talk.model.requests[0].items
    assert isinstance(message, UserMessage)
    assert message.content[1] == sent
    (turn,) = await talk.chat.history()
    assert turn.content[1] == given


async def test_without_the_vault_nothing_is_stored_or_sent() -> None:
    vault = FailingVault()
    vault.fails = True
    talk = Talk(vault=vault)
    with pytest.raises(StoreUnavailable):
        await talk.chat.run(f"Write to {BOB}")
    assert await talk.store.for_user("ann").conversations() == ()


async def test_an_answer_that_cannot_be_masked_is_not_recorded_and_the_turn_goes_on_later() -> None:
    vault = FailingVault(fails_for=(CARL,))
    talk = Talk(f"Ask {CARL}", f"Ask {CARL}", vault=vault)
    with pytest.raises(StoreUnavailable):
        await talk.chat.run("hello", request_id="r")
    assert await talk.entries(ModelResponded) == await talk.entries(TurnFinished) == []
    vault.fails_for = ()
    assert (await talk.chat.run("hello", request_id="r")).output == f"Ask {CARL}"
    await talk.assert_no_leak()


class Contact(BaseModel):
    """A person."""

    name: str
    mail: str

    @field_validator("mail")
    @classmethod
    def known(cls, mail: str) -> str:
        if mail != BOB:
            raise ValueError(f"{mail} is nobody's")
        return mail


FITS = '{"name": "<NAME_1>", "mail": "<EMAIL_1>"}'


@pytest.mark.parametrize("answer", [FITS, f"```json\n{FITS}\n```"], ids=["bare", "fenced"])
async def test_structured_output_is_read_from_restored_text(answer: str) -> None:
    talk = Talk(answer, output_type=Contact)
    (name,) = await talk.masker.for_user("ann").mask(["Ann"])
    assert name == "<NAME_1>"
    async with talk.chat.stream(f"Who has {BOB}?", request_id="r") as run:
        result = await run.result()
    assert result.output == Contact(name="Ann", mail=BOB)
    assert (await talk.chat.run("x", request_id="r")).output == result.output
    await talk.assert_no_leak()


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```"], ids=["bare", "fenced"])
async def test_a_restored_value_with_quotes_leaves_an_answer_the_json_it_is(fence: str) -> None:
    talk = Talk(fence.format('{"name": "<QUOTED_1>", "mail": "<EMAIL_1>"}'))
    quoted = RuleMasker(MemoryVault(), [*standard(), Pattern("QUOTED", r"“[^”]*”", within="line")])
    assistant = Assistant(talk.model, output_type=Contact, context=Context(masker=quoted))
    result = await assistant.run(f'“Ann "the fox" \\ Smith” has {BOB}', user="ann")
    assert result.output.name == '“Ann "the fox" \\ Smith”'


async def test_what_is_wrong_with_an_answer_is_told_to_the_model_masked_and_to_the_reader_as_it_is() -> None:
    bad, good = '{"name": "x", "mail": "<EMAIL_2>"}', '{"name": "x", "mail": "<EMAIL_1>"}'
    talk = Talk(bad, good, bad, bad, output_type=Contact)
    await talk.masker.for_user("ann").mask([BOB, EVE])
    async with talk.assistant.stream("Who?", user="ann") as run:
        events = [event async for event in run]
        result = await run.result()
    assert [event.text for event in events if isinstance(event, TextRetracted)] == [bad.replace("<EMAIL_2>", EVE)]
    (told,) = [item.text for item in result.messages if isinstance(item, DeveloperMessage)]
    assert f"{EVE} is nobody's" in told
    with pytest.raises(OutputInvalid) as caught:
        await talk.chat.run("Who?")
    assert EVE in caught.value.problems
    (prompt,) = [item for item in talk.model.requests[-1].items if isinstance(item, DeveloperMessage)]
    assert "<EMAIL_2> is nobody's" in prompt.text
    (end,) = await talk.entries(TurnFinished)
    assert "<EMAIL> is nobody's" in end.reason
    await talk.assert_no_leak()


async def test_a_refusal_is_masked_and_restored() -> None:
    talk = Talk(Refuse(f"Not to <EMAIL_1> or {CARL}"))
    result = await talk.chat.run(f"Write to {BOB}")
    assert result.refusal == f"Not to {BOB} or {CARL}"
    await talk.assert_no_leak()


async def test_the_provider_s_form_of_an_item_holds_nothing_private_either() -> None:
    sealed = {"type": "reasoning", "id": "rs", "encrypted_content": "gAAA", "summary": [{"text": f"ask {CARL}"}]}
    plain = json.dumps({"type": "message", "id": "m", "content": [{"text": "one moment"}]})
    items = (
        Reasoning(text=f"ask {CARL}", raw=json.dumps(sealed, separators=(",", ":"))),
        AssistantMessage(text="one moment", raw=plain),
        AssistantMessage(text="look", raw=json.dumps({"type": "message", "note": CARL})),
        ProviderItem(type="web_search_call", raw=json.dumps({"query": CARL})),
        ToolCall(call_id="a", name="look", arguments=json.dumps({"who": CARL}), raw=json.dumps({"who": CARL})),
        ToolCall(call_id="b", name="look", arguments='{"who":  1}', raw='{"x":  1}'),
        ToolCall(call_id="c", name="look", arguments=f"no JSON: {CARL}", raw=None),
        ToolCall(call_id="d", name="look", arguments='{"who": "' + CARL + '", "who": "x"}', raw=None),
    )

    def look(who: str) -> str:
        """Look."""
        return who

    talk = Talk(ModelResponse(items=items, usage=Usage(), model="m"), "done", tools=[look])
    result = await talk.chat.run("hello")
    (response, _) = await talk.entries(ModelResponded)
    reasoning, message, changed, search, first, second, third, fourth = response.items
    assert reasoning.raw.startswith('{"type":"reasoning","id":"rs","encrypted_content":"gAAA"')
    assert (reasoning.text, json.loads(search.raw)) == ("ask <EMAIL_1>", {"query": "<EMAIL_1>"})
    assert (message, second) == (items[1], items[5])
    assert (changed.raw, first.raw, json.loads(first.arguments)) == (None, None, {"who": "<EMAIL_1>"})
    assert (third.arguments, fourth.arguments) == ("no JSON: <EMAIL_1>", '{"who":"x"}')
    assert result.tool_calls[0].arguments == '{"who":"' + CARL + '"}'
    await talk.assert_no_leak()


class Failing:
    """Learns nothing, sums nothing up, and says so with private values."""

    in_background = False

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def extract(
        self, turns: Sequence[Turn], memory: UserMemory, *, source: str, model: Model, deadline: Deadline
    ) -> Extracted:
        del turns, memory, source, model, deadline
        raise self.error

    async def compact(self, window: Crowded) -> Compaction | None:
        del window
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError(f"no {CARL}"), ModelRejected(f"no {CARL}", model="m")])
async def test_what_fails_is_logged_redacted(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing(error)
    context = {"memory": Notebook(error=error), "extractor": failing, "compactor": failing}
    settings = Settings(window=WindowSettings(max_tokens=1_500, reserved_output=0))
    with caplog.at_level(logging.DEBUG):
        async with Talk(*[Say("y" * 300)] * 8, settings=settings, context=context).assistant as assistant:
            for number in range(8):
                await assistant.run(f"{number} " + "x" * 100, user="ann", conversation="c")
            await assistant.settled()
    logged = [record.getMessage() for record in caplog.records if "<EMAIL>" in record.getMessage()]
    assert {text.split(" ")[0] for text in logged} == {"nothing", "what", "the"}
    assert_no_leak(caplog.records, PRIVATE)


async def test_why_a_turn_has_failed_is_recorded_redacted() -> None:
    talk = Talk(Fail(ModelRejected(f"no {CARL}", model="m")))
    with pytest.raises(ModelRejected):
        await talk.chat.run("hello")
    (end,) = await talk.entries(TurnFinished)
    assert "no <EMAIL>" in end.reason


async def test_memories_are_masked_when_they_are_recalled_and_when_they_are_made() -> None:
    memory = IndexMemory(MemoryIndex())
    await memory.for_user("ann").remember(f"Her friend is {EVE}")

    class Learning:
        """Remembers what it is given, raw, and forgets it again."""

        async def extract(
            self, turns: Sequence[Turn], memory: UserMemory, *, source: str, model: Model, deadline: Deadline
        ) -> Extracted:
            del turns, model, deadline
            made = await memory.remember(f"Her brother is {CARL}", source=source)
            gone = await memory.remember("Nothing")
            assert await memory.forget(gone.id)
            shown = sorted([one.text for one in await memory.memories()])
            assert shown == ["Her brother is <EMAIL_2>", "Her friend is <EMAIL_1>"]
            return Extracted(memories=(made.id,))

    talk = Talk("ok", "ok", context={"memory": memory, "extractor": Learning()})
    async with talk.assistant as assistant:
        await talk.chat.run("Who is her friend?")
        await assistant.settled()
    texts = [one.text for one in await memory.for_user("ann").memories()]
    assert sorted(texts) == ["Her brother is <EMAIL_2>", f"Her friend is {EVE}"]
    await talk.assert_no_leak()


async def test_summaries_are_masked() -> None:
    class Summing:
        in_background = False

        async def compact(self, window: Crowded) -> Compaction | None:
            summary = Summary(text=f"Asked of {CARL} and <EMAIL_1>", first=1, last=window.turns[-2].seq)
            return Compaction(keep=1, summaries=(summary,), strategy="sum up")

    settings = Settings(window=WindowSettings(max_tokens=1_500, reserved_output=0))
    steps = [Say("y" * 300) for _ in range(8)]
    talk = Talk(*steps, settings=settings, context={"compactor": Summing()})
    for number in range(8):
        await talk.chat.run(f"{number} {BOB} " + "x" * 100)
    compactions = await talk.entries(Compacted)
    assert compactions[0].summaries[0].text == "Asked of <EMAIL_2> and <EMAIL_1>"
    await talk.assert_no_leak()


async def test_a_turn_that_is_left_for_later_says_why_redacted_and_is_restored_when_it_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1_000.0]
    store = MemoryStore(clock=lambda: now[0])
    down = Fail(ModelUnavailable(f"no {CARL}", model="m"))
    settings = Settings(recovery=RecoverySettings(patience=100))
    talk = Talk(down, "To <EMAIL_1>", store=store, settings=settings, policies=[])
    talk.store = store
    dying = Assistant(ScriptedModel(["x"]), store=FaultyStore(store, fail_at=2), context=Context(masker=talk.masker))
    with pytest.raises(StoreUnavailable):
        await dying.run(f"Write to {BOB}", user="ann", conversation="c")
    now[0] += 31
    with caplog.at_level(logging.DEBUG):
        assert (await talk.assistant.recover()).suspended == 1
        (suspended,) = await talk.entries(TurnSuspended)
        assert "no <EMAIL>" in suspended.reason
        now[0] += 100
        assert (await talk.assistant.recover()).parked == 1
    assert (await talk.chat.retry()).output == f"To {BOB}"
    assert "no <EMAIL>" in caplog.text
    assert_no_leak(caplog.records, PRIVATE)


async def test_how_an_interrupted_turn_has_ended_is_logged_redacted(caplog: pytest.LogCaptureFixture) -> None:
    now = [1_000.0]
    store = MemoryStore(clock=lambda: now[0])
    with pytest.raises(StoreUnavailable):
        await Talk("x", store=FaultyStore(store, fail_at=2)).chat.run("hello")
    now[0] += 31
    with caplog.at_level(logging.DEBUG):
        await Talk(Fail(ModelRejected(f"no {CARL}", model="m")), "done", store=store).chat.run("hello")
    assert "no <EMAIL>" in caplog.text
    assert_no_leak(caplog.records, PRIVATE)


async def test_titles_and_reasons_are_masked() -> None:
    vault = FailingVault(fails_for=(CARL,))
    talk = Talk(f"Ask {CARL}", vault=vault)
    with pytest.raises(StoreUnavailable):
        await talk.chat.run("hello")
    await talk.chat.close(reason=f"{BOB} said so")
    await talk.chat.rename(f"About {BOB}")
    (info,) = await talk.assistant.conversations(user="ann")
    assert info.title == f"About {BOB}"
    (turn,) = await talk.chat.history()
    assert turn.reason == f"{BOB} said so"
    await talk.assert_no_leak()


async def test_erasing_and_exporting_a_user_reach_the_vault() -> None:
    talk = Talk("To <EMAIL_1>.")
    await talk.chat.run(f"Write to {BOB}")
    exported = "".join([line async for line in talk.chat.export()])
    assert_no_leak(exported, PRIVATE)
    everything = "".join([line async for line in talk.assistant.export_user("ann")])
    assert BOB in everything
    assert "<EMAIL_1>" in everything
    await talk.assistant.erase_user("ann")
    assert await talk.masker.for_user("ann").restore(["<EMAIL_1>"]) == ["<EMAIL_1>"]
