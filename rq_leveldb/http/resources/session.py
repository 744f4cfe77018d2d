"""The page's login."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from rq_leveldb.http.access.guard import address_of
from rq_leveldb.http.access.sessions import LONGEST_TOKEN, SESSION_SECONDS, Sessions
from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.problems import FieldError, TooManyTries, WrongToken
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Record
from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']

_LOGIN = Record({'token': fields.text(LONGEST_TOKEN).required()}, 'Login', description='The token.')


class SessionDocument(TypedDict):
    """Whether this browser is logged in."""

    is_authenticated: bool
    needs_token: bool


class _Login:
    def __init__(self, sessions: Sessions, tries: Tries) -> None:
        self._sessions = sessions
        self._tries = tries

    def session(self, call: Call) -> SessionDocument:
        """Say whether this browser is logged in."""
        return {
            'is_authenticated': self._sessions.is_session(call.request.get_header('Cookie')),
            'needs_token': self._sessions.token is not None,
        }

    def login(self, call: Call) -> None:
        """Log in with the token."""
        address = address_of(call.request)
        wait = self._tries.take(address)
        if wait:
            seconds = math.ceil(wait)
            raise TooManyTries(
                'This one was not looked at.', hint=f'Wait {seconds} s.', headers={'Retry-After': str(seconds)}
            )
        if not self._sessions.is_token(call.values['token']):
            raise WrongToken('The token is wrong.', errors=[FieldError('is not the token', pointer='/token')])
        self._tries.give_back(address)
        if self._sessions.token is not None:
            call.response.set_cookie(
                Sessions.cookie,
                self._sessions.make(),
                max_age=SESSION_SECONDS,
                path='/',
                http_only=True,
                same_site='Strict',
                secure=call.request.scheme == 'https',
            )

    def logout(self, call: Call) -> None:
        """Log out."""
        self._sessions.end(call.request.get_header('Cookie'))
        call.response.unset_cookie(Sessions.cookie, path='/', same_site='Strict')


def routes(sessions: Sessions, tries: Tries) -> Sequence[Route]:
    """Return the routes.

    Args:
        sessions: the token and the logins.
        tries: how many wrong tokens each address may still send.
    """
    path, page = '/v1/session', _Login(sessions, tries)
    refused = (WrongToken, TooManyTries)
    return (
        Route('GET', path, page.session, is_open=True),
        Route('POST', path, page.login, refused, body=_LOGIN, status=204, largest=10_000, is_open=True),
        Route('DELETE', path, page.logout, status=204, is_open=True),
    )
