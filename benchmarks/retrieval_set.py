"""A real set of questions with known answers: the FAQs in the documentation of Debian, Django and Python.

A question is the heading of a section that ends with a question mark; its answer is the text of that section, without
the heading. All sections, and those of the tutorials and guides beside the FAQs, are cut into passages to search in.
The texts come from Debian's packages (`apt-get download`), of which nothing is kept but a copy in a temporary folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bs4 import BeautifulSoup, Tag

LONGEST = 600  # characters of a passage, unless a single paragraph has more
SHORTEST = 80  # characters of a section; shorter ones say where to read on
PATIENCE = 300.0  # seconds for a package
FAQ = re.compile(r"(^|/)faq/|^FAQ/")
HEADINGS = ("h1", "h2", "h3", "h4", "h5")
BLOCKS = ("p", "pre", "li", "dt", "td")
AROUND = "script, style, nav, .toc, .navheader, .navfooter, .headerlink, .nav, .contents, .topic, .related"
"""What a page has beside its text. The lists of contents have the questions in them."""
PACKAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "debian-faq": ("usr/share/doc/debian", ("FAQ/*.en.html",)),
    "python-django-doc": (
        "usr/share/doc/python-django-doc/html",
        ("faq/*.html", "intro/*.html", "topics/**/*.html", "howto/**/*.html"),
    ),
    "python3.11-doc": ("usr/share/doc/python3.11/html", ("faq/*.html", "tutorial/*.html", "howto/*.html")),
}
"""Debian's packages: where their pages lie, and which of them are read. Licences: GPL-2+, BSD-3-Clause, PSF-2.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading of a page and the paragraphs up to the next heading."""

    page: str
    heading: str
    paragraphs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and the section that answers it."""

    text: str
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalSet:
    """Questions, passages by id (`SECTION/NUMBER`), and the versions of the packages they come from."""

    questions: Sequence[Question]
    passages: Mapping[str, str]
    versions: Sequence[str]


class NoSetError(Exception):
    """The packages cannot be had, or have no questions in them; says what to do."""


def load(folder: Path | None = None) -> RetrievalSet:
    """Download the packages, or take them from `folder` where they lie as `*.deb`, and read them."""
    with TemporaryDirectory() as made:
        packages = Path(made) if folder is None else folder
        for name in PACKAGES:
            if not list(packages.glob(f"{name}_*.deb")):
                _download(name, packages)
        unpacked = Path(made) / "unpacked"
        versions = [_unpack(name, packages, unpacked) for name in PACKAGES]
        sections = list(_sections(unpacked))
    questions = list(_questions(sections))
    if not questions:
        raise NoSetError("no questions in the pages: are the packages other versions than those of Debian 12?")
    passages = {name: text for number, one in enumerate(sections) for name, text in _passages(number, one)}
    return RetrievalSet(questions=questions, passages=passages, versions=versions)


def _download(name: str, folder: Path) -> None:
    done = subprocess.run(
        [_program("apt-get"), "--quiet=2", "download", name],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != 0:
        raise NoSetError(f"{name} could not be downloaded; has `apt-get update` been run?\n{done.stderr[-500:]}")


def _unpack(name: str, packages: Path, unpacked: Path) -> str:
    package = max(packages.glob(f"{name}_*.deb"))
    subprocess.run([_program("dpkg-deb"), "--extract", package, unpacked], check=True, timeout=PATIENCE)
    return package.name.removesuffix(".deb")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoSetError(f"there is no {name}: run it on Debian 12")
    return found


def _sections(unpacked: Path) -> Iterator[Section]:
    for place, patterns in PACKAGES.values():
        root = unpacked / place
        for pattern in patterns:
            for page in sorted(root.glob(pattern)):
                if not page.name.startswith("index."):
                    yield from _sections_of(page.relative_to(root).as_posix(), page.read_text(encoding="utf-8"))


def _sections_of(page: str, html: str) -> Iterator[Section]:
    tree = BeautifulSoup(html, "html.parser")
    for around in tree.select(AROUND):
        around.decompose()
    heading, paragraphs = "", list[str]()
    for element in (tree.select_one("[role=main], .yui-g") or tree).find_all([*HEADINGS, *BLOCKS]):
        if element.name in HEADINGS:
            yield from _section(page, heading, paragraphs)
            heading, paragraphs = re.sub(r"^[\d.]+ ", "", _text(element)), []
        elif element.find_parent(BLOCKS) is None:
            paragraphs.append(_text(element))
    yield from _section(page, heading, paragraphs)


def _section(page: str, heading: str, paragraphs: list[str]) -> Iterator[Section]:
    if sum(map(len, paragraphs)) >= SHORTEST:
        yield Section(page=page, heading=heading, paragraphs=paragraphs)


def _text(element: Tag) -> str:
    return " ".join(element.get_text().split())


def _questions(sections: Sequence[Section]) -> Iterator[Question]:
    seen: set[str] = set()
    for number, section in enumerate(sections):
        text = section.heading
        if text.endswith("?") and FAQ.search(section.page) and text not in seen:
            seen.add(text)
            yield Question(text=text, section=str(number))


def _passages(number: int, section: Section) -> Iterator[tuple[str, str]]:
    """Yield the paragraphs of a section, as many together as make a passage."""
    held, count = "", 0
    for paragraph in section.paragraphs:
        if held and len(held) + len(paragraph) > LONGEST:
            yield f"{number}/{count}", held
            held, count = "", count + 1
        held = f"{held}\n{paragraph}".strip()
    yield f"{number}/{count}", held
