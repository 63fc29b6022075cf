import builtins
import importlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import MissingDependency
from assistant_kit.stores.encrypted import aead
from assistant_kit.stores.encrypted.aead import OVERHEAD, Aead
from assistant_kit.stores.encrypted.data_keys import DataKey, DataKeys


@pytest.mark.parametrize(
    ("key", "context", "sealed"),
    [
        (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
    ids=["msb 0", "msb 1"],
)
def test_it_is_the_cipher_of_its_specification(key: bytes, context: bytes, sealed: str) -> None:
    """The two vectors of c2sp.org/XAES-256-GCM; the keys differ in the highest bit of the subkey's block."""
    assert Aead(key).seal_under(b"ABCDEFGHIJKLMNOPQRSTUVWX", b"XAES-256-GCM", context).hex() == sealed


@given(plain=st.binary(), context=st.binary(), key=st.binary(min_size=32, max_size=32))
def test_what_is_sealed_is_opened(plain: bytes, context: bytes, key: bytes) -> None:
    sealed = Aead(key).seal(plain, context)

    assert Aead(key).open(sealed, context) == plain
    assert len(sealed) == len(plain) + OVERHEAD


@given(data=st.data(), plain=st.binary(max_size=50))
def test_a_bit_that_was_changed_is_noticed(data: st.DataObject, plain: bytes) -> None:
    aead = Aead(bytes(32))
    sealed = bytearray(aead.seal(plain, b"context"))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(ValueError, match="changed"):
        aead.open(bytes(sealed), b"context")


def test_another_context_or_key_opens_nothing() -> None:
    sealed = Aead(bytes(32)).seal(b"plain", b"context")

    for other, context in ((Aead(bytes(32)), b"contexts"), (Aead(b"\1" * 32), b"context")):
        with pytest.raises(ValueError, match="changed"):
            other.open(sealed, context)
    for cut in (0, 11, 23, 24, 39):
        with pytest.raises(ValueError, match="changed"):
            Aead(bytes(32)).open(sealed[:cut], b"context")


def test_no_two_places_look_alike() -> None:
    key = DataKey.new()
    keys = DataKeys({key.key_id: key}, ring=b"")
    sealed = keys.seal(b"plain", "record", "ab", "c")

    assert keys.open(sealed, "record", "ab", "c") == b"plain"
    for place in (("record", "a", "bc"), ("record", "abc", ""), ("record", "ab"), ("record", "ab", "c", "")):
        with pytest.raises(ValueError, match="changed"):
            keys.open(sealed, *place)


def test_keys_are_not_shown() -> None:
    key = DataKey.new()

    assert repr(key) == f"DataKey({key.key_id.hex()})"
    assert repr(Aead(key.secret)) == "Aead(…)"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, aead.__name__)
    with pytest.raises(MissingDependency) as caught:
        importlib.import_module(aead.__name__)
    assert (caught.value.package, caught.value.extra) == ("cryptography", "encryption")
