"""What a tool call brings from outside, masked before it is stored, sent or logged, if that is wanted.

Whatever fails here leaves the turn as a store does that fails: nothing is recorded of what is not masked.
"""

from collections.abc import Sequence
from dataclasses import replace

import anyio

from assistant_kit.messages import Part, Text, has_content, is_unicode
from assistant_kit.protocols.nested_calls import is_nested
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.run.asked import Asked
from assistant_kit.run.turn import TurnRun


async def with_values(run: TurnRun, one: Asked) -> Asked:
    """Return a call with private values in its arguments, if its tool is to get them. Raises StoreError."""
    masks = run.about.masks
    if masks is None or one.arguments is None or not masks.gives_values(one.call.name):
        return one
    return replace(one, values=await masks.object(one.arguments))


async def masked(run: TurnRun, one: Asked, output: ToolOutput) -> ToolOutput:
    """Mask what a tool answers. Raises StoreError."""
    masks = run.about.masks
    if masks is None:
        return output
    return replace(output, content=await masked_words(run, one, readable(output.content)))


async def masked_words(run: TurnRun, one: Asked, content: tuple[Part, ...]) -> tuple[Part, ...]:
    """Mask what is said of a call, by its tool or by an error. Raises StoreError."""
    masks = run.about.masks
    if masks is None:
        return content
    with anyio.CancelScope(shield=True):  # the call has been made: what it gave must not be lost for lack of time
        if run.reads_results(one.call.name):  # it was masked when it was stored
            content = await masks.kept(content)
        else:
            content = await masks.answered(content, one.call.arguments)
    return content


async def masked_note(run: TurnRun, note: str) -> str:
    """Mask a note that a tool leaves. Raises StoreError."""
    # The name of a nested conversation, by which it is found again, holds nothing of a user's.
    return note if run.about.masks is None or is_nested(note) else await run.about.masks.words(note)


async def read_notes(run: TurnRun, notes: Sequence[str]) -> tuple[str, ...]:
    """Return notes as they were left. Raises StoreError."""
    return tuple(notes if run.about.masks is None else await run.about.masks.values(notes))


def readable(content: Sequence[Part]) -> tuple[Part, ...]:
    """Return what can be stored and sent in place of parts that cannot."""
    return tuple(_readable(part) for part in content)


def as_unicode(text: str) -> str:
    """Return a text with marks in place of lone surrogates."""
    return text.encode(errors="replace").decode()


def _readable(part: Part) -> Part:
    if isinstance(part, Text):
        return part if is_unicode(part.text) else Text(text=as_unicode(part.text))
    return part if has_content(part) else Text(text=f"({part.kind} without content)")
