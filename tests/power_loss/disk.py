"""A disk whose power can be cut: what was written and not synced then is dropped, torn, or there, as chance has it.

The files on the real disk hold what has been synced; the rest stands in memory until it is. SQLite reaches the disk
through a VFS (https://sqlite.org/vfs.html), which this is, by apsw.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw


class PowerLost(apsw.IOError):
    """The power is off."""

    result = extendedresult = apsw.SQLITE_IOERR


@dataclass(slots=True, kw_only=True)
class Content:
    """What a file holds: `now` as a reader sees it, and what has changed since it was synced, in order."""

    now: bytearray
    changes: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])
    is_new: bool

    def change(self, at: int, data: bytes | None) -> None:
        """Write `data` at a place, or cut the file there when there is none."""
        self.changes.append((at, data))
        apply(self.now, at, data)


def apply(content: bytearray, at: int, data: bytes | None) -> None:
    """Change content as a write, or a truncation, does."""
    if data is None:
        del content[at:]
        return
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


class Disk(apsw.VFS):
    """The disk. Its power goes before the operation number `cut`, counting writes, truncations and syncs."""

    def __init__(self, name: str, cut: int, chance: random.Random) -> None:
        super().__init__(name, "")
        self.name = name
        self.files: dict[str, Content] = {}
        self.syncs = 0
        self.operations = 0
        self._cut = cut
        self._chance = chance

    @property
    def is_off(self) -> bool:
        """Whether the power has gone."""
        return self.operations >= self._cut

    def operate(self) -> None:
        """Count an operation. Raises PowerLost."""
        self.operations += 1
        if self.is_off:
            raise PowerLost

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802  (SQLite's name)
        if name is None:  # a temporary file, of which nothing has to survive
            return super().xOpen(name, flags)
        return File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802
        self.operate()
        self.files.pop(filename, None)
        super().xDelete(filename, syncdir)

    def lose_power(self) -> None:
        """Leave on the real disk what a power cut may leave. From now on the power is off."""
        self._cut = 0
        for path, content in self.files.items():
            if content.is_new and self._chance.random() < 1 / 2:
                Path(path).unlink()  # its name was not synced either
            elif content.changes:
                self._write(path, self._what_survives(path, content))
        self.files.clear()

    def _what_survives(self, path: str, content: Content) -> bytes:
        left = bytearray(Path(path).read_bytes())
        kept = self._chance.choice([0, 1 / 10, 1 / 2, 9 / 10, 1])
        for at, data in content.changes:
            fate = self._chance.random()
            if fate >= kept:
                continue
            if data and self._chance.random() < 1 / 4:
                first, last = sorted((self._chance.randrange(len(data) + 1), self._chance.randrange(len(data) + 1)))
                apply(left, at + first, data[first:last])
            else:
                apply(left, at, data)
        return bytes(left)

    def sync(self, path: str) -> None:
        """Bring all changes of a file to the real disk."""
        self.operate()
        self.syncs += 1
        content = self.files[path]
        self._write(path, bytes(content.now))
        content.changes.clear()
        content.is_new = False

    @staticmethod
    def _write(path: str, content: bytes) -> None:
        Path(path).write_bytes(content)


class File(apsw.VFSFile):
    """An open file of the disk. One connection uses it, so that there is nothing to lock."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = name if isinstance(name, str) else name.filename()
        is_new = not Path(path).exists()
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path
        if path not in disk.files:
            disk.files[path] = Content(now=bytearray(Path(path).read_bytes()), is_new=is_new)
        self._content = disk.files[path]

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._content.now[offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.operate()
        self._content.change(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.operate()
        self._content.change(newsize, None)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        self._disk.sync(self._path)

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._content.now)
