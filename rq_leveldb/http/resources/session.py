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


def routes(sessions: Sessions, tries: Tries) -> Sequence[Route]:
    """Return the routes.

    Args:
        sessions: the token and the logins.
        tries: how many wrong tokens each address may still send.
    """

    def session(call: Call) -> SessionDocument:
        """Say whether this browser is logged in."""
        return {
            'is_authenticated': sessions.is_session(call.request.get_header('Cookie')),
            'needs_token': sessions.token is not None,
        }

    def login(call: Call) -> None:
        """Log in with the token."""
        address = address_of(call.request)
        wait = tries.take(address)
        if wait:
            seconds = math.ceil(wait)
            raise TooManyTries(
                'This one was not looked at.', hint=f'Wait {seconds} s.', headers={'Retry-After': str(seconds)}
            )
        if not sessions.is_token(call.values['token']):
            raise WrongToken('The token is wrong.', errors=[FieldError('is not the token', pointer='/token')])
        tries.give_back(address)
        if sessions.token is not None:
            call.response.set_cookie(
                Sessions.cookie,
                sessions.make(),
                max_age=SESSION_SECONDS,
                path='/',
                http_only=True,
                same_site='Strict',
                secure=call.request.scheme == 'https',
            )

    def logout(call: Call) -> None:
        """Log out."""
        sessions.end(call.request.get_header('Cookie'))
        call.response.unset_cookie(Sessions.cookie, path='/', same_site='Strict')

    path, refused = '/v1/session', (WrongToken, TooManyTries)
    return (
        Route('GET', path, session, is_open=True),
        Route('POST', path, login, refused, body=_LOGIN, status=204, largest=10_000, is_open=True),
        Route('DELETE', path, logout, status=204, is_open=True),
    )
