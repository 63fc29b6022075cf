"""What a user says, with the files they mention: as the model reads it, and as it is shown again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from assistant_kit.messages import JsonObject, Part, Text

_NOTE: Final = "Attached files, to be searched by `source` with search_documents: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A file that a message mentions."""

    id: str
    name: str

    def json(self) -> dict[str, str]:
        """Return it as the API shows it."""
        return {"id": self.id, "name": self.name}


def message_of(text: str, files: Sequence[Attached]) -> Sequence[Text]:
    """Return a message for the model; the note on files is a part of its own, which no user can write."""
    if not files:
        return (Text(text=text),)
    listed = json.dumps([{"source": file.id, "name": file.name} for file in files], ensure_ascii=False)
    return (Text(text=text), Text(text=f"\n{_NOTE}{listed}"))


def said(content: Sequence[Part]) -> JsonObject:
    """Return what a user said and the files they mentioned, as the API and the stream show it.

    The note on files is for the model.
    """
    texts = [part.text for part in content if isinstance(part, Text)]
    text, note = (*texts, "", "")[:2]
    return {"text": text, "files": [file.json() for file in _listed(note)]}


def _listed(note: str) -> Sequence[Attached]:
    if not note.startswith(f"\n{_NOTE}"):
        return ()
    listed = cast("list[dict[str, str]]", json.loads(note.removeprefix(f"\n{_NOTE}")))
    return tuple(Attached(id=one["source"], name=one["name"]) for one in listed)
