"""The page for people: static files, served as they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

import falcon

from rq_leveldb.http.request import query

__all__ = ['Page']

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


class Page:
    """The files of the page."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for entry in resources.files(__name__).iterdir():
            media_type = _TYPES.get(entry.name.rpartition('.')[2])
            if media_type is not None:
                content = entry.read_bytes()
                self._files[entry.name] = _File(content, media_type, hashlib.sha256(content).hexdigest()[:32])

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Show the page."""
        self._send(request, response, self._files['index.html'])

    def on_get_file(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Send one of its files."""
        query.read_query(request, {})
        file = self._files.get(name)
        if file is None:
            raise falcon.HTTPNotFound()
        self._send(request, response, file)

    def _send(self, request: falcon.Request, response: falcon.Response, file: _File) -> None:
        response.set_headers(_HEADERS)
        response.etag = file.etag
        if request.if_none_match and any(str(tag) in (file.etag, '*') for tag in request.if_none_match):
            response.status = falcon.HTTP_304
            return
        response.content_type = file.media_type
        response.data = file.content
