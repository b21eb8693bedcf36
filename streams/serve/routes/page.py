"""The files of the page. They need no token: the page itself asks for one."""

import hashlib
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from streams.serve.routes.answers import is_same

FOLDER = Path(__file__).parents[1] / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# Everything comes from this server, besides the pictures of items, whose addresses stand in the catalogue.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # the browser asks with the ETag, and so never mixes files of two versions
}


class _File(NamedTuple):
    content: bytes
    kind: str
    tag: str


def page_routes() -> APIRouter:
    """Reads all files of the page, which are small. No other file can be asked for."""
    files = {path.relative_to(FOLDER).as_posix(): _read(path) for path in FOLDER.rglob("*") if path.suffix in TYPES}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(if_none_match: Annotated[str, Header()] = "") -> Response:
        return _answer(files["index.html"], if_none_match)

    @router.get("/page/{name:path}")
    async def file(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
        if name not in files:
            raise HTTPException(404)
        return _answer(files[name], if_none_match)

    return router


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _answer(found: _File, if_none_match: str) -> Response:
    headers = {**HEADERS, "ETag": found.tag}
    if is_same(found.tag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.kind)
