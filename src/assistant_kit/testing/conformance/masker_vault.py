"""The suite that every vault of pseudonyms passes."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.masker import Private, UserVault, Vault
from assistant_kit.protocols.user_data import UserData

__all__ = ["VaultConformance"]

PATIENCE = 60.0
"""Seconds after which a test that waits has failed."""

FORM = re.compile(r"<([A-Z][A-Z0-9_]{0,30})_[1-9][0-9]{0,8}>")

ODD_VALUES = ("", " ", "\0", "\ud800", "'\"\\", "<EMAIL_1>", "a\nb", "日本", "x" * 20_000)


class VaultConformance(ABC):
    """What `protocols/masker.py` promises of vaults, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyVault(VaultConformance):
            async def open_vault(self, folder: Path) -> Vault:
                return MyVault(folder / "vault.my")

    Set `durable = False` for a vault that ends with its object, and `serves_event_loops = False` for one whose object
    belongs to one event loop.
    """

    durable: ClassVar[bool] = True
    """Whether a vault outlives the object that opened it."""

    serves_event_loops: ClassVar[bool] = True
    """Whether one object serves several event loops."""

    @abstractmethod
    async def open_vault(self, folder: Path) -> Vault:
        """Return an object for the vault of this folder, which is the test's own, and empty at first."""

    @pytest.fixture
    async def vaults(self, tmp_path: Path) -> AsyncIterator[Sequence[Vault]]:
        """Return two objects for one vault, and close them after the test; the same one where none outlives it."""
        async with AsyncExitStack() as stack:
            vaults = [await self.open_vault(tmp_path) for _ in range(2 if self.durable else 1)]
            for vault in vaults:
                stack.push_async_callback(_close, vault)
            yield vaults if self.durable else vaults * 2

    @pytest.fixture
    def vault(self, vaults: Sequence[Vault]) -> Vault:
        """Return the first of them."""
        return vaults[0]

    async def test_each_value_gets_a_pseudonym_of_its_kind_in_their_order(self, vault: Vault) -> None:
        values = [_email("a@b.org"), Private(kind="CARD", value="4111"), _email("c@d.org"), _email("a@b.org")]
        names = await _hidden(vault, values)

        assert [_kind(name) for name in names] == ["EMAIL", "CARD", "EMAIL", "EMAIL"]
        assert names[0] == names[3]
        assert len(set(names)) == 3
        assert await _revealed(vault, names) == dict(zip(names, (each.value for each in values), strict=True))

    async def test_a_value_keeps_its_pseudonym(self, vaults: Sequence[Vault]) -> None:
        (first,) = await _hidden(vaults[0], [_email("a@b.org")])
        await _hidden(vaults[1], [_email("c@d.org")])

        assert await _hidden(vaults[0], [_email("c@d.org"), _email("a@b.org")]) != [first, first]
        assert (await _hidden(vaults[1], [_email("a@b.org")]))[0] == first

    async def test_the_same_text_of_two_kinds_has_two_pseudonyms(self, vault: Vault) -> None:
        names = await _hidden(vault, [Private(kind="A", value="x"), Private(kind="B", value="x")])

        assert [_kind(name) for name in names] == ["A", "B"]
        assert await _revealed(vault, names) == {names[0]: "x", names[1]: "x"}

    async def test_kinds_that_end_like_numbers_are_told_apart(self, vault: Vault) -> None:
        kinds = ["A", "A_1", "A_1_1", "A1"]
        names = await _hidden(vault, [Private(kind=kind, value=f"{kind}{n}") for kind in kinds for n in range(12)])

        assert len(set(names)) == 48

    async def test_any_text_is_a_value(self, vault: Vault) -> None:
        names = await _hidden(vault, [_email(value) for value in ODD_VALUES])

        assert await _revealed(vault, names) == dict(zip(names, ODD_VALUES, strict=True))

    async def test_what_is_unknown_is_left_out(self, vault: Vault) -> None:
        assert await _revealed(vault, ["<EMAIL_1>", "", "x"]) == {}
        (name,) = await _hidden(vault, [_email("a@b.org")])
        assert await _revealed(vault, [name, "<EMAIL_99>"]) == {name: "a@b.org"}
        assert await _hidden(vault, []) == []
        assert await _revealed(vault, []) == {}

    async def test_users_do_not_see_each_other(self, vault: Vault) -> None:
        (name,) = await _hidden(vault, [_email("a@b.org")], user="ann")

        assert await _revealed(vault, [name], user="bob") == {}
        (other,) = await _hidden(vault, [_email("b@b.org")], user="bob")
        assert await _revealed(vault, [other], user="bob") == {other: "b@b.org"}
        assert await _revealed(vault, [name], user="ann") == {name: "a@b.org"}

    async def test_all_that_is_kept_is_exported(self, vaults: Sequence[Vault]) -> None:
        names = await _hidden(vaults[0], [_email("a@b.org"), _email("c@d.org")])
        kept = [each async for each in vaults[1].export_user("ann") if isinstance(each, UserData)]

        assert {each.name: each.data for each in kept} == {
            names[0]: {"value": "a@b.org"},
            names[1]: {"value": "c@d.org"},
        }
        assert [each async for each in vaults[0].export_user("bob")] == []

    async def test_an_erased_user_is_forgotten_by_all_and_nobody_else(self, vaults: Sequence[Vault]) -> None:
        here, there = (vault.for_user("ann") for vault in vaults)
        (name,) = await here.hide([_email("a@b.org")])
        await there.reveal([name])
        (other,) = await _hidden(vaults[0], [_email("b@b.org")], user="bob")
        with anyio.fail_after(PATIENCE):
            await vaults[0].erase_user("ann")
            await vaults[0].erase_user("ann")

            assert [await here.reveal([name]), await there.reveal([name])] == [{}, {}]
            assert [each async for each in vaults[1].export_user("ann")] == []
            assert await _revealed(vaults[1], [other], user="bob") == {other: "b@b.org"}

            (new,) = await there.hide([_email("new@b.org")])
            assert await here.reveal([new]) == {new: "new@b.org"}
            assert await here.hide([_email("new@b.org")]) == [new]

    async def test_a_vault_outlives_its_object(self, vault: Vault, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this vault ends with its object")
        names = await _hidden(vault, [_email("a@b.org"), _email("c@d.org")])
        await _close(vault)

        again = await self.open_vault(tmp_path)
        try:
            assert await _revealed(again, names) == {names[0]: "a@b.org", names[1]: "c@d.org"}
            (third,) = await _hidden(again, [_email("e@f.org")])
            assert third not in names
        finally:
            await _close(again)

    async def test_who_hides_the_same_at_once_gets_the_same(self, vaults: Sequence[Vault]) -> None:
        values = [_email(f"{number}@b.org") for number in range(5)]
        found: list[dict[str, str]] = []

        async def hide(vault: Vault, own: Private, shared: Sequence[Private]) -> None:
            user = vault.for_user("ann")
            names = [name for each in (*shared, own) for name in await user.hide([each])]
            found.append(dict(zip(names, (each.value for each in (*shared, own)), strict=True)))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in range(6):
                    shared = values if number % 2 else values[::-1]
                    tasks.start_soon(hide, vaults[number % 2], _email(f"own-{number}@b.org"), shared)

        together = {name: value for each in found for name, value in each.items()}
        assert len(together) == len(values) + 6
        assert await _revealed(vaults[0], list(together)) == together
        assert all(each.items() <= together.items() for each in found)

    async def test_several_event_loops_share_a_vault(self, vault: Vault, anyio_backend_name: str) -> None:
        if not self.serves_event_loops:
            pytest.skip("this vault serves one event loop")
        here = await _hidden(vault, [_email("a@b.org")])

        def there() -> list[str]:
            return anyio.run(_hidden, vault, [_email("a@b.org")], backend=anyio_backend_name)

        assert await anyio.to_thread.run_sync(there) == here

    async def test_a_task_that_goes_away_leaves_a_vault_that_works(self, vault: Vault) -> None:
        for turns in range(6):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(vault.for_user("ann").hide, [_email(f"{turns}@b.org")])
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            (name,) = await _hidden(vault, [_email(f"{turns}@b.org")])
            assert await _revealed(vault, [name]) == {name: f"{turns}@b.org"}

    async def test_a_user_has_a_name(self, vault: Vault) -> None:
        with pytest.raises(InputError):
            vault.for_user("")

    async def test_a_value_is_not_shown(self) -> None:
        assert "secret" not in repr(_email("secret"))

    async def test_closing_twice_is_closing(self, vault: Vault) -> None:
        await _close(vault)
        await _close(vault)


async def _close(vault: Vault) -> None:
    with anyio.fail_after(PATIENCE, shield=True):
        await vault.aclose()


async def _hidden(vault: Vault, values: Sequence[Private], user: str = "ann") -> list[str]:
    with anyio.fail_after(PATIENCE):
        return list(await _of(vault, user).hide(values))


async def _revealed(vault: Vault, names: Sequence[str], user: str = "ann") -> dict[str, str]:
    with anyio.fail_after(PATIENCE):
        return dict(await _of(vault, user).reveal(names))


def _of(vault: Vault, user: str) -> UserVault:
    return vault.for_user(user)


def _email(value: str) -> Private:
    return Private(kind="EMAIL", value=value)


def _kind(name: str) -> str:
    found = FORM.fullmatch(name)
    assert found is not None, name
    return found[1]
