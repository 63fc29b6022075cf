import json
from collections.abc import Callable
from hashlib import sha256

import pytest

from assistant_kit import audit_chain
from assistant_kit.audit_chain import GENESIS, AuditNote, digest_of, link_after

NOTES: list[tuple[Callable[[], AuditNote], dict[str, object]]] = [
    (
        lambda: audit_chain.appended("c", [("r1", "note", 3, b"body"), ("r2", "note", 0, b"")], fence=7),
        {
            "v": 2,
            "do": "append",
            "conversation": "c",
            "fence": 7,
            "records": [["r1", "note", 3, sha256(b"body").hexdigest()], ["r2", "note", 0, sha256(b"").hexdigest()]],
        },
    ),
    (
        lambda: audit_chain.forked("d", source="c", at=2),
        {"do": "fork", "conversation": "d", "source": "c", "at": 2},
    ),
    (lambda: audit_chain.rewound("c", to=1), {"do": "rewind", "conversation": "c", "to": 1}),
    (
        lambda: audit_chain.renamed("c", "título 😀"),
        {"do": "rename", "conversation": "c", "title": sha256("título 😀".encode()).hexdigest()},
    ),
    (lambda: audit_chain.deleted("会话"), {"do": "delete", "conversation": "会话"}),
    (audit_chain.erased, {"do": "erase"}),
]


@pytest.mark.parametrize(("note", "payload"), NOTES, ids=["append", "fork", "rewind", "rename", "delete", "erase"])
def test_a_note_says_what_was_done(note: Callable[[], AuditNote], payload: dict[str, object]) -> None:
    made = note()

    assert json.loads(made.payload) == payload
    assert made.payload.isascii()
    assert made.digest == digest_of(made.payload, made.salt)


def test_equal_notes_have_one_text_and_digests_of_their_own() -> None:
    one, two = (audit_chain.rewound("c", to=1) for _ in range(2))

    assert one.payload == two.payload == b'{"conversation":"c","do":"rewind","to":1}'
    assert one.salt != two.salt
    assert one.digest != two.digest


def test_a_digest_without_its_salt_does_not_tell_which_text_it_is_of() -> None:
    note = audit_chain.deleted("c")

    assert len(note.salt) == 16
    assert note.digest not in (digest_of(note.payload, bytes(16)), sha256(note.payload).digest())


def test_a_link_is_the_hash_of_the_one_before_the_digest_and_the_time() -> None:
    digest = sha256(b"x").digest()

    link = link_after(GENESIS, digest, 1_700_000_000_000_001)

    assert link == sha256(bytes(32) + digest + (1_700_000_000_000_001).to_bytes(8, "big")).digest()


def test_a_change_of_any_part_makes_another_link() -> None:
    digest = sha256(b"x").digest()
    first = link_after(GENESIS, digest, 1)

    others = [
        link_after(first, digest, 1),
        link_after(GENESIS, sha256(b"y").digest(), 1),
        link_after(GENESIS, digest, 2),
    ]

    assert len({first, *others}) == 4
