"""PDF files made for tests: the smallest writer that other programs can read."""

import zlib
from collections.abc import Sequence

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def pdf(pages: Sequence[str], *, title: str = "") -> bytes:
    """Return a PDF with one page for each text, whose lines stand below each other."""
    return pdf_of([_drawn(page) for page in pages], title=title)


def pdf_of(contents: Sequence[bytes], *, title: str = "") -> bytes:
    """Return a PDF whose pages have these content streams, compressed."""
    pages = [4 + 2 * index for index in range(len(contents))]
    kids = " ".join(f"{number} 0 R" for number in pages).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, len(pages)),
        FONT,
    ]
    for number, content in zip(pages, contents, strict=True):
        packed = zlib.compress(content, 9)
        resources = b"<< /Font << /F1 3 0 R >> >>"
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources %b /Contents %d 0 R >>"
            % (resources, number + 1),
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed),
        ]
    objects.append(b"<< /Title (%b) >>" % title.encode("latin-1"))
    return _file(objects)


def _drawn(text: str) -> bytes:
    lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.split("\n")]
    shown = "\n".join(f"({line}) Tj 0 -14 Td" for line in lines)
    return f"BT /F1 12 Tf 72 720 Td\n{shown}\nET".encode("cp1252")


def _file(objects: Sequence[bytes]) -> bytes:
    body = b"%PDF-1.7\n"
    places: list[int] = []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (size, len(objects))
    return body + head + table + trailer + b"startxref\n%d\n%%%%EOF\n" % len(body)
