"""Who may speak to the service: the token, the page's session, the Host header, other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
import secrets
import time
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import falcon
from redis import Redis

from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.http.request import body, fields, query

__all__ = ['SESSION_SECONDS', 'Guard', 'Session', 'Sessions']

SESSION_SECONDS = 30 * 86400
"""How long a login of the page lasts."""

_OPEN_PATHS = ('/', '/openapi.json', '/v1/session')
_OPEN_PREFIXES = ('/healthz', '/page/')
_SAFE_METHODS = ('GET', 'HEAD', 'OPTIONS')
_HOST = re.compile(r'(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?')
_LONGEST_TOKEN = 1000
_ENDED = 'rq-leveldb:http:ended-session:'


class Sessions:
    """The page's logins: a cookie that only the holder of the token can make.

    Not the token itself, since cookies of one host go to every port of it. Those that were logged out of stand in the
    store until they would have ended anyway, where every process that serves finds them.

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
        """Log out: what the cookie holds is good for nothing any more, whoever kept it.

        Args:
            cookies: a request's Cookie header.
        """
        found = self._read(cookies)
        if found is not None:
            expires, nonce = found
            self._connection.set(_ENDED + nonce, 1, ex=max(1, expires - int(time.time()) + 1))

    def _read(self, cookies: str | None) -> tuple[int, str] | None:
        """Return when a session ends and its name; None where it is not one of ours or over."""
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


class Guard:
    """Lets requests pass that may, before any resource sees them (a Falcon middleware).

    Args:
        sessions: the token and the logins.
        tries: how often who may be wrong.
        hosts: names by which the service is reached, besides localhost and IP addresses.
        origins: web origins whose pages may use it.
        is_local: it listens on a unix socket, where the Host header means nothing.
    """

    def __init__(
        self,
        sessions: Sessions,
        tries: Tries,
        hosts: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        is_local: bool = False,
    ) -> None:
        self._sessions = sessions
        self._tries = tries
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._is_local = is_local
        self._good_hosts: set[str] = set()

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Refuse a request that may not pass.

        Raises:
            Problem: 400, 401 or 403.
        """
        host = request.env.get('HTTP_HOST', '')
        if host not in self._good_hosts and not self._is_local:
            self._check_host(host)
        origin = request.env.get('HTTP_ORIGIN')
        if origin is not None and origin in self._origins:
            self._allow_origin(request, response, origin)
            if request.method == 'OPTIONS' and 'HTTP_ACCESS_CONTROL_REQUEST_METHOD' in request.env:
                # A preflight carries no credentials: Fetch standard, CORS-preflight fetch.
                response.status = falcon.HTTP_204
                response.complete = True
                return
        path = request.path
        if path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES):
            return
        self._authenticate(request)

    def _check_host(self, host: str) -> None:
        if _HOST.fullmatch(host) is None:
            raise Problem(
                400,
                'bad-host',
                'The Host header cannot be understood',
                errors=[FieldError('must be a name or an address, with a port or without', parameter='Host')],
            )
        name = (host.rpartition(':')[0] if not host.endswith(']') and ':' in host else host).lower()
        if not (name == 'localhost' or name.endswith('.localhost') or name in self._hosts or _is_address(name)):
            # A name that somebody else can point to 127.0.0.1 lets their web page in: DNS rebinding.
            raise Problem(
                403,
                'unknown-host',
                'This service is not known by that name',
                f'Host is {name[:100]!r}.',
                hint='Use localhost or the IP address, or start it with --host-name NAME.',
                errors=[FieldError('is not a name of this service', parameter='Host')],
            )
        if len(self._good_hosts) < 100:
            self._good_hosts.add(host)

    def _allow_origin(self, request: falcon.Request, response: falcon.Response, origin: str) -> None:
        response.set_header('Access-Control-Allow-Origin', origin)
        response.append_header('Vary', 'Origin')
        response.set_header('Access-Control-Expose-Headers', 'Location, Idempotency-Replayed, Retry-After')
        response.set_header('Access-Control-Allow-Headers', 'Authorization, Content-Type, Idempotency-Key')
        response.set_header('Access-Control-Allow-Methods', 'GET, POST, PUT, PATCH, DELETE')
        response.set_header('Access-Control-Max-Age', '600')

    def _authenticate(self, request: falcon.Request) -> None:
        authorization = request.env.get('HTTP_AUTHORIZATION')
        if authorization is not None:
            scheme, _, given = authorization.partition(' ')
            if scheme.lower() == 'bearer' and self._sessions.is_token(given.strip()[:_LONGEST_TOKEN]):
                return
            # Not refused, but slowed down: who shares an address with a program that has an old token, as all do
            # behind a proxy, must not suffer.
            if self._tries.take(address_of(request)):
                self._tries.hold_up()
            raise _unauthorized('The token is not right.', ', error="invalid_token"')
        if not self._sessions.is_session(request.env.get('HTTP_COOKIE')):
            raise _unauthorized('No token was sent.', '')
        # Here only the browser vouches for the request, so it must come from our own page.
        check_same_origin(request)


class Session:
    """The page's login.

    Args:
        sessions: the token and the logins.
        tries: how often who may be wrong.
    """

    def __init__(self, sessions: Sessions, tries: Tries) -> None:
        self._sessions = sessions
        self._tries = tries

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say whether this browser is logged in."""
        query.read_query(request, {})
        is_open = self._sessions.token is None
        body.answer(
            response,
            {'is_authenticated': self._sessions.is_session(request.get_header('Cookie')), 'needs_token': not is_open},
        )

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Log in with the token."""
        check_same_origin(request)
        query.read_query(request, {})
        document = body.read_object(request, 10_000)
        values, errors = fields.read_fields(document, {'token': fields.text(_LONGEST_TOKEN)}, ('token',))
        if errors:
            raise fields.refuse(errors)
        address = address_of(request)
        wait = self._tries.take(address)
        if wait:
            raise Problem(
                429,
                'too-many-tries',
                'Too many wrong tokens came from this address',
                'This one was not looked at.',
                hint=f'Wait {math.ceil(wait)} s.',
                headers={'Retry-After': str(math.ceil(wait))},
            )
        if not self._sessions.is_token(values['token']):
            raise Problem(
                403,
                'wrong-token',
                'The token is not right',
                hint='`rq-leveldb token` prints it.',
                errors=[FieldError('is not the token', pointer='/token')],
            )
        self._tries.give_back(address)
        if self._sessions.token is not None:
            response.set_cookie(
                Sessions.cookie,
                self._sessions.make(),
                max_age=SESSION_SECONDS,
                path='/',
                http_only=True,
                same_site='Strict',
                secure=request.scheme == 'https',
            )
        response.status = falcon.HTTP_204

    def on_delete(self, request: falcon.Request, response: falcon.Response) -> None:
        """Log out."""
        check_same_origin(request)
        self._sessions.end(request.get_header('Cookie'))
        response.unset_cookie(Sessions.cookie, path='/', same_site='Strict')
        response.status = falcon.HTTP_204


def address_of(request: falcon.Request) -> str:
    """Return the address of a client; all have the same behind a proxy or on a unix socket.

    Args:
        request: its request.
    """
    return str(request.env.get('REMOTE_ADDR') or '')


def check_same_origin(request: falcon.Request) -> None:
    """Refuse a request by which another site's page would change something.

    Args:
        request: one that carries no token.

    Raises:
        Problem: 403.
    """
    if request.method in _SAFE_METHODS:
        return
    site = request.get_header('Sec-Fetch-Site')
    origin = request.get_header('Origin')
    # Another port of the same host is another origin and the same site, so SameSite cookies do not tell.
    is_foreign = (site is not None and site not in ('same-origin', 'none')) or (
        origin is not None and host_of(origin) != (request.get_header('Host') or '').lower()
    )
    if is_foreign or (site is None and origin is None and request.get_header('Cookie')):
        raise Problem(
            403,
            'cross-site',
            'Another site may not do this',
            'The request does not come from the page of this service.',
            hint='Programs send Authorization: Bearer TOKEN instead of a cookie.',
        )


def host_of(origin: str) -> str | None:
    """Return host and port of an origin as the Host header writes them, None for an origin that has none.

    Args:
        origin: an Origin header.
    """
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith('[') else name)
    except ValueError:
        return False
    return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).digest()


def _unauthorized(detail: str, error: str) -> Problem:
    return Problem(
        401,
        'unauthorized',
        'A token is needed',
        detail,
        hint='Send Authorization: Bearer TOKEN; `rq-leveldb token` prints it.',
        headers={'WWW-Authenticate': f'Bearer realm="rq-leveldb"{error}'},
    )
