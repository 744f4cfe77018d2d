"""The HTTP front: a WSGI application, served by `rq-leveldb http` or by any other WSGI server.

gunicorn 'rq_leveldb.http:create_app()'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

    from rq_leveldb.http.settings import HttpSettings

__all__ = ['create_app']


def create_app(connection: Redis | None = None, settings: HttpSettings | None = None) -> Callable[..., Any]:
    """Return the WSGI application.

    Args:
        connection: to the store, or to a real Redis server; by default to the place that the environment names.
        settings: the settings; by default from the environment.

    Raises:
        StoreError: the settings, the token or the place cannot be used.
    """
    from rq_leveldb.http.application import build
    from rq_leveldb.http.serving.place import Place
    from rq_leveldb.http.settings import HttpSettings

    chosen = settings or HttpSettings.from_environment()
    place = Place.find()
    app: Callable[..., Any] = build(connection or place.connect(), chosen, place.token(chosen)).app
    return app
