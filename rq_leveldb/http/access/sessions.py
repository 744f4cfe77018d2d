"""The page's logins, and the comparison with the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import SimpleCookie

from redis import Redis

__all__ = ['LONGEST_TOKEN', 'SESSION_SECONDS', 'Sessions']

SESSION_SECONDS = 30 * 86400
"""How long a login of the page lasts."""
LONGEST_TOKEN = 1000
"""Most characters of a token that are looked at."""

_ENDED = 'rq-leveldb:http:ended-session:'


class Sessions:
    """The page's logins: a cookie that only the holder of the token can make.

    It is not the token itself, since cookies of a host go to every port of it. Sessions that were logged out are kept
    in the store until they would have expired, where every process that serves finds them.

    Args:
        token: the token; None where none is asked for.
        connection: the store.
    """

    cookie = 'rq_leveldb_session'

    def __init__(self, token: str | None, connection: Redis) -> None:
        self.token = token
        self._connection = connection
        self._digest = None if token is None else _digest(token)

    def is_token(self, given: str) -> bool:
        """Say whether this is the token, in a time that does not tell how much of it is right.

        Args:
            given: what a client sent.
        """
        return self._digest is None or hmac.compare_digest(_digest(given), self._digest)

    def make(self) -> str:
        """Return the value of a new session's cookie."""
        expires = str(int(time.time()) + SESSION_SECONDS)
        nonce = secrets.token_urlsafe(9)
        return f'{expires}.{nonce}.{self._signature(expires, nonce)}'

    def is_session(self, cookies: str | None) -> bool:
        """Say whether a request comes from a page that is logged in.

        Args:
            cookies: its Cookie header.
        """
        if self.token is None:
            return True
        found = self._read(cookies)
        return found is not None and not self._connection.exists(_ENDED + found[1])

    def end(self, cookies: str | None) -> None:
        """Log out: the cookie is worthless from now on, also to whoever copied it.

        Args:
            cookies: a request's Cookie header.
        """
        found = self._read(cookies)
        if found is not None:
            expires, nonce = found
            self._connection.set(_ENDED + nonce, 1, ex=max(1, expires - int(time.time()) + 1))

    def _read(self, cookies: str | None) -> tuple[int, str] | None:
        """Return when a session ends and its name; None where it is not one of ours or has expired."""
        if self.token is None or not cookies:
            return None
        try:
            morsel = SimpleCookie(cookies).get(self.cookie)
            expires, nonce, signature = morsel.value.split('.') if morsel is not None else ('', '', '')
            if not expires.isascii() or not expires.isdigit() or int(expires) < time.time():
                return None
            if not hmac.compare_digest(signature.encode(), self._signature(expires, nonce).encode()):
                return None
        except Exception:
            return None
        return int(expires), nonce

    def _signature(self, expires: str, nonce: str) -> str:
        assert self.token is not None
        message = f'rq-leveldb session {expires} {nonce}'.encode()
        return hmac.new(self.token.encode(), message, hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).digest()
