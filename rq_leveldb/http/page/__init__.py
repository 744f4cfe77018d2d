"""The web page: static files, served as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

import falcon

from rq_leveldb.http.problems import NotFound
from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']

_TYPES = {
    'html': 'text/html; charset=utf-8',
    'css': 'text/css; charset=utf-8',
    'js': 'text/javascript; charset=utf-8',
    'svg': 'image/svg+xml',
}
_HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-cache',
}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def routes() -> Sequence[Route]:
    """Return the routes."""
    files: dict[str, _File] = {}
    for entry in resources.files(__name__).iterdir():
        media_type = _TYPES.get(entry.name.rpartition('.')[2])
        if media_type is not None:
            content = entry.read_bytes()
            files[entry.name] = _File(content, media_type, hashlib.sha256(content).hexdigest()[:32])

    def page(call: Call) -> None:
        """Show the web page."""
        page_file(call, 'index.html')

    def page_file(call: Call, name: Annotated[str, 'Name of the file.']) -> None:
        """Send a file of the web page."""
        file = files.get(name)
        if file is None:
            raise NotFound()
        request, response = call.request, call.response
        response.set_headers(_HEADERS)
        response.etag = file.etag
        if request.if_none_match and any(str(tag) in (file.etag, '*') for tag in request.if_none_match):
            response.status = falcon.HTTP_304
            return
        response.content_type = file.media_type
        response.data = file.content

    return (
        Route('GET', '/', page, query=None, is_open=True, media_type='text/html'),
        Route('GET', '/page/{name}', page_file, (NotFound,), is_open=True, media_type='*/*'),
    )
