"""Server-sent events as bytes, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

END = b"\n\n"
"""What ends an event, once line ends are LF."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventBlocks:
    """Cuts the bytes of a stream into events, each the bytes of its lines with LF between them.

    Bytes may come in pieces of any size. Time and memory grow with the bytes only, however small the pieces are.
    `between` is true while no event has begun that is not ended.
    """

    __slots__ = ("_after_cr", "_pieces", "between")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._after_cr = False
        self.between = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the events that they complete."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_lf(chunk)
        if self._pieces or not chunk.endswith(END):
            blocks = self._gather(chunk)
        else:  # whole events: nearly every chunk there is
            blocks = chunk.split(END)
            blocks.pop()
        self.between = not self._pieces and not self._after_cr
        return blocks

    def rest(self) -> list[bytes]:
        """Return the event at the end of the stream that no empty line follows: some servers end so."""
        block = b"".join(self._pieces)
        self._pieces = []
        return [block] if block else []

    def _gather(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            return []
        pieces = self._pieces
        ends_here = END in chunk or (chunk.startswith(b"\n") and bool(pieces) and pieces[-1].endswith(b"\n"))
        pieces.append(chunk)
        if not ends_here:
            return []
        *blocks, rest = b"".join(pieces).split(END)
        self._pieces = [rest] if rest else []
        return blocks

    def _with_lf(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def data_of(block: bytes) -> bytes:
    """Return the data of an event; empty when it has none, as a comment."""
    lines = [_value(line) for line in block.removeprefix(_BYTE_ORDER_MARK).split(b"\n") if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


def _value(line: bytes) -> bytes:
    return line[6:] if line.startswith(b"data: ") else line[5:]
