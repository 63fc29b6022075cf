"""The page of one's files: what was uploaded, to be saved again or deleted. It works without JavaScript."""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from flask import Blueprint, redirect, render_template, url_for

from examples.flask_demo.frontend.asking import Problem, asked
from examples.flask_demo.frontend.pages import Shown, for_user

KINDS: Final = {"application/pdf": "PDF", "text/markdown": "Markdown", "text/plain": "Text"}
"""Types of files, in words."""
_UNITS: Final = ("bytes", "kB", "MB", "GB")

files = Blueprint("files", __name__)


@files.get("/files")
@for_user
def listed(user: str) -> Shown:
    return render_template("files.html", files=asked(user, "GET", "/files")["files"], kinds=KINDS)


@files.post("/files/<file>/delete")
@for_user
def delete(user: str, file: str) -> Shown:
    try:
        asked(user, "DELETE", f"/files/{quote(file, safe='')}")
    except Problem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:  # deleted in another tab: that is what was wanted
            raise
    return redirect(url_for("files.listed"), 303)


@files.app_template_filter("bytes")
def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count < 1000:  # noqa: PLR2004
        return "1 byte" if count == 1 else f"{count} bytes"
    shown, unit = float(count), 0
    while shown >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004  (what would be shown as 1000)
        shown, unit = shown / 1000, unit + 1
    return f"{shown:.1f} {_UNITS[unit]}" if shown < 9.95 else f"{shown:.0f} {_UNITS[unit]}"  # noqa: PLR2004
