"""An application that parses the same JSON and answers as much, under the same gunicorn settings, and does no more.

With `bound` as argument its process is bound to one core as the front's is; else it runs as gunicorn's own threaded
worker runs everything.
"""

from __future__ import annotations

import json
import sys

import falcon

from rq_leveldb.http.serving.server import FrontServer
from rq_leveldb.http.settings import HttpSettings
from rq_leveldb.http_address import Address, listen

ANSWER = {'id': 'b1e13686-9cf3-4d5d-bf7e-a636d36e8bad', 'status': 'queued', 'queue': 'default', 'is_duplicate': False}


class Jobs:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        json.loads(request.stream.read(request.content_length or 0))
        response.status = falcon.HTTP_201
        response.content_type = 'application/json'
        response.data = json.dumps(ANSWER).encode()


class Bare:
    """What the server needs of an application."""

    def __init__(self) -> None:
        self.app = falcon.App()
        self.app.add_route('/v1/jobs', Jobs())

    def close(self) -> None:
        """Nothing is open."""


class Unbound(FrontServer):
    """The same settings, and gunicorn's threaded worker as it comes."""

    def load_config(self) -> None:
        """Set gunicorn's options."""
        super().load_config()
        self.cfg.set('worker_class', 'gthread')
        self.cfg.set('post_fork', lambda arbiter, worker: None)


def main() -> None:
    sock = listen(Address.parse('127.0.0.1:0'))
    print(f'Serving on http://127.0.0.1:{sock.getsockname()[1]}', flush=True)
    server = FrontServer if sys.argv[1:] == ['bound'] else Unbound
    server(HttpSettings(), sock.fileno(), Bare).run()  # type: ignore[arg-type]


if __name__ == '__main__':
    main()
