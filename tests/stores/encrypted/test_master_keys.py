import os
from base64 import b64encode
from pathlib import Path

import pytest

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.key_provider import WrappedKey
from assistant_kit.stores.encrypted import MasterKeys

pytestmark = pytest.mark.anyio

DATA_KEY = bytes(range(32))


async def test_a_key_is_wrapped_by_the_newest_and_unwrapped_by_any() -> None:
    old, new = os.urandom(32), os.urandom(32)
    wrapped = await MasterKeys({"old": old}).wrap(DATA_KEY, context="c")

    both = MasterKeys({"new": new, "old": old})

    assert wrapped.master == "old"
    assert await both.unwrap(wrapped, context="c") == DATA_KEY
    assert (await both.wrap(DATA_KEY, context="c")).master == "new"
    assert DATA_KEY not in wrapped.data


async def test_what_does_not_open_is_refused() -> None:
    keys = MasterKeys({"k": os.urandom(32)})
    wrapped = await keys.wrap(DATA_KEY, context="mine")

    with pytest.raises(ValueError, match="changed"):
        await keys.unwrap(wrapped, context="theirs")
    with pytest.raises(ValueError, match="changed"):
        await MasterKeys({"k": os.urandom(32)}).unwrap(wrapped, context="mine")
    with pytest.raises(LookupError):
        await keys.unwrap(WrappedKey(master="other", data=wrapped.data), context="mine")


async def test_keys_are_read_from_a_file_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{MasterKeys.generate('2026-11')}\n{MasterKeys.generate('2026-05')}\n"
    (tmp_path / "keys").write_text(text)
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", text.replace("\n", " "))

    by_file, by_environment = MasterKeys.from_file(tmp_path / "keys"), MasterKeys.from_environment()

    wrapped = await by_file.wrap(DATA_KEY, context="c")
    assert await MasterKeys.from_text(text).unwrap(wrapped, context="c") == DATA_KEY
    assert await by_environment.unwrap(wrapped, context="c") == DATA_KEY
    assert repr(by_file) == "MasterKeys(2026-11, 2026-05)"


GOOD = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text", ["", " \n", "a", "a:", f":{GOOD}", "a:AAAA", "a:%%%", f"a:{GOOD}\na:{GOOD}", f"{GOOD}"]
)
def test_keys_that_cannot_be_read_are_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(text)
    monkeypatch.setenv("KEYS", text)

    for read in (lambda: MasterKeys.from_file(tmp_path / "keys"), lambda: MasterKeys.from_text(text)):
        with pytest.raises(ConfigurationError):
            read()
    with pytest.raises(ConfigurationError) as caught:
        MasterKeys.from_environment("KEYS")
    assert GOOD not in str(caught.value)


def test_a_place_without_keys_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYS", raising=False)
    (tmp_path / "binary").write_bytes(b"\xff\xff")

    for path in (tmp_path / "none", tmp_path / "binary", tmp_path):
        with pytest.raises(ConfigurationError):
            MasterKeys.from_file(path)
    with pytest.raises(ConfigurationError):
        MasterKeys.from_environment("KEYS")
