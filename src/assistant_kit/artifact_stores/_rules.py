"""What every artifact store decides in the same way, as functions of values: names, ids, what is written of them."""

import base64
import hashlib
import json
import re
import secrets
from typing import Final

from assistant_kit.errors import InputError, StoreCorrupt
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound

MAX_NAME: Final = 255
"""Characters of a user or a name."""

MAX_MEDIA_TYPE: Final = 127
"""Characters of a media type. With the longest name it fits into the 2 KB that S3 keeps beside an object."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"  # in the order of its characters' codes; one case only
_TIME, _CHANCE = 10, 16  # characters of 5 bits: milliseconds, and 80 bits by which nobody can guess an id
_ID: Final = re.compile(f"a_[{_ALPHABET}]{{{_TIME + _CHANCE}}}")
_WORD: Final = r"[A-Za-z0-9!#$&^_.+-]+"  # RFC 6838, 4.2
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(?: *; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*')


def new_id(at: float) -> str:
    """Return an id for what is made at a time, in seconds since 1970."""
    number = (max(0, int(at * 1000)) << 5 * _CHANCE) | secrets.randbits(5 * _CHANCE)
    return "a_" + "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_TIME + _CHANCE)))


def is_id(text: str) -> bool:
    """Tell whether this could be an id of ours: what is none is of no artifact, in any store."""
    return _ID.fullmatch(text) is not None


def check_id(text: str) -> None:
    """Refuse what cannot be an id, before it reaches a path. Raises ArtifactNotFound."""
    if not is_id(text):
        raise ArtifactNotFound(text)


def place_of(user: str) -> str:
    """Return the name of the folder of a user: no user can give one that is another's, or no name at all.

    Raises InputError for a user that cannot be kept.
    """
    _check_text("user", user)
    return hashlib.sha256(user.encode()).hexdigest()


def check_names(name: str, media_type: str) -> None:
    """Refuse a name or a media type that some store cannot keep. Raises InputError."""
    _check_text("name of an artifact", name)
    if _CONTROL.search(name):
        raise InputError(f"the name of an artifact has no line ends and other control characters, not {name[:100]!r}")
    if len(media_type) > MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(media_type):
        raise InputError(f"{media_type[:100]!r} is no media type: give one such as 'text/plain', or none")


def check_page(limit: int) -> None:
    """Refuse a page of nothing. Raises InputError."""
    if limit < 1:
        raise InputError(f"a limit is at least 1, not {limit}")


def written(artifact: Artifact) -> bytes:
    """Return the written form of what is known of an artifact."""
    fields = {
        "version": 1,
        "id": artifact.id,
        "name": artifact.name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "created_at": artifact.created_at,
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def read_back(text: bytes, place: str) -> Artifact:
    """Return what a written form says. Raises StoreCorrupt."""
    try:
        fields = json.loads(text)
        return Artifact(
            id=str(fields["id"]),
            name=str(fields["name"]),
            media_type=str(fields["media_type"]),
            size=int(fields["size"]),
            sha256=str(fields["sha256"]),
            created_at=float(fields["created_at"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(f"{place} is no artifact of this library, or damaged: it was left as it is") from error


def exported(artifact: Artifact, data: bytes) -> dict[str, str | int | float]:
    """Return what an export says of an artifact, with its bytes."""
    return {
        "name": artifact.name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "created_at": artifact.created_at,
        "base64": base64.b64encode(data).decode(),
    }


def _check_text(what: str, text: str) -> None:
    storable = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    if not 0 < len(text) <= MAX_NAME or not storable:
        raise InputError(f"a {what} has 1 to {MAX_NAME} characters without NUL and lone surrogates, not {text[:100]!r}")
