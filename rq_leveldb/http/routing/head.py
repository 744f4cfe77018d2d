"""HEAD, which is GET without its content: RFC 9110, section 9.3.2."""

from __future__ import annotations

from typing import Any

import falcon

__all__ = ['Head']

_STREAM = '/v1/events'


class Head:
    """Middleware that has HEAD answered by whatever answers GET; falcon then leaves the content out.

    The event stream, which has no end, has no HEAD.
    """

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Let the request be routed as a GET."""
        if request.method == 'HEAD' and request.path != _STREAM:
            request.method = 'GET'
            request.context.is_head = True

    def process_response(
        self, request: falcon.Request, response: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Let it be answered as what it is."""
        if getattr(request.context, 'is_head', False):
            request.method = 'HEAD'
