"""Memories as passages of a search index, and back."""

import hashlib
import json
from base64 import b32encode
from collections.abc import Mapping

from assistant_kit.errors import InputError
from assistant_kit.messages import is_unicode
from assistant_kit.protocols.memory import Remembered
from assistant_kit.protocols.search_index import Label, Passage
from assistant_kit.retrieval import normalised

OWNER = "user:"
"""What the owners of memories begin with in an index."""

LONG_OWNER = "user#"
"""The same for users of such long names that an index cannot hold them behind it: their hash follows."""

CREATED = "_created"
"""The label that holds when a memory was first learned, in microseconds since 1970: a number that every JSON keeps."""

PLACES = 4
"""Ids that a text may have. The second is taken when the first has got another text since."""

_MICRO = 1_000_000
_LONGEST_OWNER = 255  # bytes: there are indexes that count these


def owner_of(user: str) -> str:
    """Return the owner of a user's memories. Raises InputError for a user without a name."""
    if not user:
        raise InputError("a user has a name that is not empty")
    written = user.encode("utf-8", "surrogatepass")
    if len(OWNER) + len(written) <= _LONGEST_OWNER:
        return OWNER + user
    return LONG_OWNER + hashlib.blake2b(written).hexdigest()


def places_of(text: str, labels: Mapping[str, Label]) -> list[str]:
    """Return ids for a text: the same for every worker, so that two that remember it at once keep it once."""
    seed = json.dumps([normalised(text), sorted(labels.items())]).encode()
    return [_id(seed, place) for place in range(PLACES)]


def _id(seed: bytes, place: int) -> str:
    digest = hashlib.blake2b(seed, digest_size=10, salt=bytes([place])).digest()
    return b32encode(digest).decode().lower()


def remembered(passage: Passage) -> Remembered:
    """Return the memory that a passage holds."""
    created = passage.labels.get(CREATED)
    return Remembered(
        id=passage.id,
        text=passage.text,
        source=passage.source,
        created_at=created / _MICRO if type(created) is int else passage.at,
        updated_at=passage.at,
        labels=labels_of(passage),
    )


def has_labels(passage: Passage, labels: Mapping[str, Label]) -> bool:
    """Tell whether a memory has these labels and no others; True is not 1, though Python finds them equal."""
    own = labels_of(passage)
    return own == labels and all(type(own[name]) is type(value) for name, value in labels.items())


def labels_of(passage: Passage) -> dict[str, Label]:
    """Return the labels that were given to a memory."""
    return {name: value for name, value in passage.labels.items() if name != CREATED}


def kept_time(seconds: float) -> float:
    """Return a time as it can be kept in a label: the nearest microsecond."""
    return round(seconds * _MICRO) / _MICRO


def with_time(labels: Mapping[str, Label], created: float) -> dict[str, Label]:
    """Return labels with the time at which a memory was first learned."""
    return {**labels, CREATED: round(created * _MICRO)}


def checked_text(text: str, *, most: int) -> str:
    """Return a text that can be remembered, without spaces around it. Raises InputError."""
    text = text.strip()
    if not text:
        raise InputError("a memory is a text that is not empty")
    if len(text) > most:
        raise InputError(f"a memory has at most {most:,} characters, and this has {len(text):,}: split or shorten it")
    if not is_unicode(text) or "\0" in text:
        raise InputError("a memory is Unicode text without NUL: decode the bytes that it came from first")
    return text


def checked_labels(labels: Mapping[str, Label]) -> dict[str, Label]:
    """Return labels that can be kept. Raises InputError for a name that is taken."""
    if CREATED in labels:
        raise InputError(f"the label {CREATED!r} is taken: give it another name")
    return dict(labels)
