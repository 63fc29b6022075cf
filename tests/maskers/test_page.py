"""The code that docs/masking.md shows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant_kit import Assistant, Context
from assistant_kit.json_masking import mask_json, restore_json
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import Pattern, RuleMasker, card, email, iban, standard
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.no_leak import LeakFound, assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "masking.md"


async def test_a_text_is_masked_and_restored() -> None:
    # --8<-- [start:use]
    masker = RuleMasker(MemoryVault())
    ann = masker.for_user("ann")

    masked = await ann.mask(["Write to bob@example.org, card 4111 1111 1111 1111."])
    assert masked == ["Write to <EMAIL_1>, card <CARD_1>."]

    restored = await ann.restore(["I have written to <EMAIL_1>."])
    assert restored == ["I have written to bob@example.org."]
    # --8<-- [end:use]


async def test_an_assistant(tmp_path: Path) -> None:
    folder, sent = tmp_path, list[str]()
    model = ScriptedModel([CallTools(Call("send_letter", {"to": "<EMAIL_1>"})), "I have written to <EMAIL_1>."])
    # --8<-- [start:assistant]

    def send_letter(to: str) -> str:
        """Send the letter."""
        sent.append(to)
        return f"A letter to {to} is on its way."

    masker = RuleMasker(StoreVault(SQLiteStore(folder / "vault.db")))
    assistant = Assistant(
        model,
        tools=[send_letter],
        store=f"sqlite:///{folder}/chat.db",
        context=Context(masker=masker, raw_arguments={"send_letter"}),
    )
    result = await assistant.run("Write to bob@example.org", user="ann", conversation="letters")
    assert result.output == "I have written to bob@example.org."

    await assistant.aclose()
    await masker.aclose()
    # --8<-- [end:assistant]
    assert sent == ["bob@example.org"]
    assert_no_leak([folder / "chat.db"], ["bob@example.org"])
    assert_no_leak(repr(model.requests), ["bob@example.org"])


async def test_streams() -> None:
    ann = RuleMasker(MemoryVault()).for_user("ann")
    await ann.mask(["bob@example.org"])
    answer = ["I wrote to <EM", "AIL_1> and to car", "l@exam", "ple.org", ". Done"]
    # --8<-- [start:streams]
    stored, shown = ann.mask_stream(origin="model"), ann.restore_stream()
    in_store, on_screen = "", ""
    for piece in answer:  # "…to <EM", "AIL_1> and to car", "l@exam", …
        masked = await stored.feed(piece)
        in_store += masked
        on_screen += await shown.feed(masked)
    rest = await stored.finish()
    in_store += rest
    on_screen += await shown.feed(rest) + await shown.finish()

    assert in_store == "I wrote to <EMAIL_1> and to <EMAIL_2>. Done"
    assert on_screen == "I wrote to bob@example.org and to carl@example.org. Done"
    # --8<-- [end:streams]


async def test_an_encrypted_vault_that_forgets(tmp_path: Path) -> None:
    folder, master_keys = tmp_path, MasterKeys.from_file(key_file(tmp_path))
    # --8<-- [start:vault]
    store = EncryptedStore(SQLiteStore(folder / "vault.db"), master_keys)
    masker = RuleMasker(StoreVault(store))
    ann = masker.for_user("ann")
    (masked,) = await ann.mask(["bob@example.org"])

    await masker.erase_user("ann")
    assert await ann.restore([masked]) == ["<EMAIL_1>"]
    await masker.aclose()
    # --8<-- [end:vault]


def key_file(folder: Path) -> Path:
    path = folder / "keys"
    path.write_text(MasterKeys.generate("2026-11"))
    return path


async def test_recognisers_of_ones_own() -> None:
    # --8<-- [start:own]
    def staff(text: str) -> Sequence[tuple[int, int]]:
        names = ["Ann Smith", "Bob Jones"]
        return [(begin, begin + len(name)) for name in names if (begin := text.find(name)) >= 0]

    masker = RuleMasker(
        MemoryVault(),
        [
            *standard(),
            Pattern("ORDER", r"\bORD-[0-9]{6}\b"),
            Pattern("NAME", staff, within="line", longest=40),
        ],
    )
    masked = await masker.for_user("ann").mask(["Bob Jones asks about ORD-123456."])
    assert masked == ["<NAME_1> asks about <ORDER_1>."]

    only_money = RuleMasker(MemoryVault(), [card(), iban()])
    # --8<-- [end:own]
    assert only_money.redact("ann@example.org 4111 1111 1111 1111") == "ann@example.org <CARD>"


async def test_arguments_of_tools() -> None:
    ann = RuleMasker(MemoryVault()).for_user("ann")
    # --8<-- [start:json]
    masked = await mask_json(ann, {"to": ["bob@example.org"], "urgent": True})
    assert masked == {"to": ["<EMAIL_1>"], "urgent": True}

    assert await restore_json(ann, masked) == {"to": ["bob@example.org"], "urgent": True}
    # --8<-- [end:json]


def test_logs() -> None:
    masker = RuleMasker(MemoryVault(), [email()])
    # --8<-- [start:redact]
    assert masker.redact("no answer from bob@example.org") == "no answer from <EMAIL>"
    # --8<-- [end:redact]


async def test_that_nothing_has_leaked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "chat.db").write_bytes(b"Write to <EMAIL_1>")
    # --8<-- [start:no_leak]
    assert_no_leak([tmp_path, caplog.records], ["bob@example.org", "4111 1111 1111 1111"])
    # --8<-- [end:no_leak]
    (tmp_path / "chat.db").write_bytes(b"Write to bob%40example.org")
    with pytest.raises(LeakFound):
        assert_no_leak([tmp_path, caplog.records], ["bob@example.org"])


def test_the_page_names_every_kind() -> None:
    page = PAGE.read_text("utf-8")
    assert all(f"`{each.kind}`" in page for each in standard())
