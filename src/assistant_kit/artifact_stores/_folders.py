"""What a folder of artifacts asks of the file system: all of it blocks, and runs in threads."""

import errno
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.artifact_store import ArtifactNotFound

ABANDONED: Final = 86_400.0
"""Seconds without a change after which nobody goes on with what is unfinished."""

_ADVICE: Final = {
    errno.ENOSPC: "make room; nothing was kept",
    errno.EDQUOT: "make room; nothing was kept",
    errno.EROFS: "name a folder that this process can write to",
    errno.EACCES: "name a folder that this process can read and write",
    errno.EPERM: "name a folder that this process can read and write",
    errno.ENOTDIR: "there is a file where a folder is needed: name another place",
}


@contextmanager
def ours(place: Path, *, missing: str | None = None) -> Generator[None]:
    """Turn errors of the file system into ours. Where an artifact is looked for, `missing` is its id."""
    try:
        yield
    except OSError as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            raise ArtifactNotFound(missing) from error
        advice = _ADVICE.get(error.errno or 0, "see to it, and try again")
        raise StoreUnavailable(f"{place}: {error.strerror or error}: {advice}") from error


def unfinished(root: Path) -> Path:
    """Return the folder for what nobody may see, and make it. Raises OSError."""
    folder = root / ".unfinished"
    if not folder.is_dir():
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def clear(folder: Path) -> None:
    """Delete what is gone, and what processes that died have left unfinished. Raises OSError."""
    for entry in folder.iterdir():
        if entry.name.startswith("gone-") or _is_abandoned(entry):
            with suppress(FileNotFoundError):  # somebody else clears as well
                shutil.rmtree(entry)


def move(folder: Path, place: Path) -> None:
    """Let an artifact be seen, and its place be on disk. Raises OSError.

    An erasure of the user may take the place's folder away at any moment; then it is made anew.
    """
    while True:
        with suppress(FileExistsError):
            place.parent.mkdir(mode=0o700)
            on_disk(place.parent.parent)
        try:
            folder.rename(place)
        except FileNotFoundError:
            if not folder.exists():
                raise
        else:
            with suppress(FileNotFoundError):  # an erasure has come after it, and has taken it along
                on_disk(place.parent)
            return


def on_disk(folder: Path) -> None:
    """Wait until the names in a folder are on disk. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_abandoned(entry: Path) -> bool:
    """Tell by the last change to the bytes, which are written as they come."""
    try:
        changed = max(entry.stat().st_mtime, *(file.stat().st_mtime for file in entry.iterdir()))
    except (OSError, TypeError):
        return False
    return changed < time.time() - ABANDONED
