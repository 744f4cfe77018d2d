"""The store that the front serves, and where the front keeps its own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from rq_leveldb import location
from rq_leveldb.http.access.token import load_token
from rq_leveldb.http.settings import HttpSettings

__all__ = ['Place']


@dataclass(frozen=True)
class Place:
    """A store, or a real Redis server.

    Args:
        url: its URL; None for the default directory.
        directory: where the front's own files are, the token and the lock.
    """

    url: str | None
    directory: location.DataDirectory

    @classmethod
    def find(cls, url: str | None = None) -> Place:
        """Return the place that a URL names, or the environment, or the default.

        Args:
            url: `leveldb:///path`, or the URL of a Redis server.

        Raises:
            BadAddress: it is something else.
        """
        url = url or location.configured_url()
        return cls(url, location.front_directory(url))

    def connect(self) -> Redis:
        """Return a new connection, with replies as bytes."""
        from rq_leveldb.client.connection import Redis as StoreRedis

        if self.url is None:
            return StoreRedis(decode_responses=False)
        return StoreRedis.from_url(self.url, decode_responses=False)

    def prepare(self) -> None:
        """Make the directory, private to its owner.

        Raises:
            StoreError: it cannot be used.
        """
        location.prepare_front_directory(self.url)

    def token(self, settings: HttpSettings) -> str | None:
        """Return the token that requests need, or None if they need none.

        Args:
            settings: the settings.

        Raises:
            StoreError: the token cannot be stored.
        """
        if settings.open:
            return None
        if settings.token:
            return settings.token
        if settings.token_file:
            return load_token(Path(settings.token_file))
        self.prepare()
        return load_token(self.directory.token)
