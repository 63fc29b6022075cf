"""The files of a user: uploaded, read into the index of documents, and given back."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from assistant_kit.protocols.artifact_store import Artifact
from examples.flask_demo.orchestrator.access import Parts, Reader, Writer
from examples.flask_demo.orchestrator.errors import Invalid, NotFound, TooLarge, documented
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.orchestrator.turns import moment
from examples.flask_demo.orchestrator.uploads import TYPES, clean_name, media_type_of

router = APIRouter(prefix="/api/v1/files", tags=["files"], responses=documented(401, 404, 413, 415, 422, 429, 503))
_CLEANING: Final = 10.0  # seconds
_MOST: Final = 1_000


class FileOut(BaseModel):
    """A file; `passages` are those that can be searched. Its time is UTC."""

    id: str
    name: str
    media_type: str
    size: int
    passages: int
    created_at: str


FileId = Annotated[str, Path(max_length=100)]


@router.post("", status_code=201)
async def upload(user: Writer, parts: Parts, request: Request) -> FileOut:
    """Take a file of a form, in its field `file`: PDF, Markdown or plain text. It can then be asked about."""
    await parts.limits.count("uploads", user)
    data, given = await _received(request, largest=parts.settings.largest_file)
    media_type = media_type_of(data, given)
    name = clean_name(given, media_type)
    kept = await parts.artifacts.for_user(user).put(data, name=name, media_type=media_type)
    try:
        read = await parts.documents.for_user(user).add(kept.id, data, filename=name, media_type=media_type, title=name)
    except BaseException:
        with (
            anyio.CancelScope(shield=True),
            anyio.move_on_after(_CLEANING),
        ):  # a file that cannot be asked about is none
            await _remove(parts, user, kept.id)
        raise
    return _out(kept, read.added + read.kept + read.moved)


@router.get("")
async def list_files(user: Reader, parts: Parts) -> dict[str, list[FileOut]]:
    """List the user's files, the newest first."""
    sources = {one.source: one.chunks for one in await parts.documents.for_user(user).sources(limit=_MOST)}
    kept = await parts.artifacts.for_user(user).list(limit=_MOST)
    return {"files": [_out(info, sources[info.id]) for info in reversed(kept) if info.id in sources]}


@router.get("/{file}", response_class=StreamingResponse)
async def download(user: Reader, parts: Parts, file: FileId) -> StreamingResponse:
    """Return a file as it was uploaded: to be saved, and not to be shown."""
    info = await uploaded(parts, user, file)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(info.name, safe='')}",
        "Content-Length": str(info.size),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(_pieces(parts, user, file), media_type=info.media_type, headers=headers)


@router.delete("/{file}", status_code=204)
async def delete(user: Writer, parts: Parts, file: FileId) -> None:
    """Delete a file with its passages; what was quoted of it in answers stays."""
    await uploaded(parts, user, file)
    await _remove(parts, user, file)


async def uploaded(parts: Service, user: str, file: str) -> Artifact:
    """Return what is known of an uploaded file. Raises NotFound for that of anybody else."""
    info = await parts.artifacts.for_user(user).info(file)
    if info.media_type not in TYPES:
        raise NotFound("there is no such file")
    return info


async def _received(request: Request, *, largest: int) -> tuple[bytes, str]:
    """Return the file of a form and what its sender calls it. Raises Invalid, TooLarge."""
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Invalid("send one file, as the field `file` of a form (multipart/form-data)")
        data = await file.read(largest + 1)
        if len(data) > largest:
            raise TooLarge(f"a file may have {largest} bytes")
        return data, file.filename or ""


async def _remove(parts: Service, user: str, file: str) -> None:
    """Delete a file and its passages: these first, so that none is found of a file that is gone."""
    await parts.documents.for_user(user).remove(file)
    await parts.artifacts.for_user(user).delete(file)


async def _pieces(parts: Service, user: str, file: str) -> AsyncIterator[bytes]:
    async with parts.artifacts.for_user(user).open(file) as pieces:
        async for piece in pieces:
            yield piece


def _out(info: Artifact, passages: int) -> FileOut:
    return FileOut(
        id=info.id,
        name=info.name,
        media_type=info.media_type,
        size=info.size,
        passages=passages,
        created_at=moment(info.created_at),
    )
