"""Whether a request may pass: its Host header, its origin, its token or its login."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import falcon

from rq_leveldb.http.access.sessions import LONGEST_TOKEN, Sessions
from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.problems import BadHost, CrossSite, FieldError, Unauthorized, UnknownHost

__all__ = ['Guard', 'address_of']

_SAFE_METHODS = ('GET', 'HEAD', 'OPTIONS')
_CROSS_ORIGIN = {
    'Access-Control-Expose-Headers': 'Location, Idempotency-Replayed, Retry-After',
    'Access-Control-Allow-Headers': 'Authorization, Content-Type, Idempotency-Key',
    'Access-Control-Allow-Methods': 'GET, POST, PUT, PATCH, DELETE',
    'Access-Control-Max-Age': '600',
}
_HOST = re.compile(r'(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?')


class Guard:
    """Refuses requests that may not pass, before any resource sees them (a Falcon middleware).

    Args:
        sessions: the token and the logins.
        tries: how many wrong tokens each address may still send.
        open_paths: paths that need no token; a variable part in braces stands for all that begins so.
        hosts: names by which the service is reached, besides localhost and IP addresses.
        origins: web origins whose pages may use it.
        is_local: it listens on a unix socket, where the Host header means nothing.
    """

    def __init__(
        self,
        sessions: Sessions,
        tries: Tries,
        open_paths: Iterable[str],
        hosts: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        is_local: bool = False,
    ) -> None:
        self._sessions = sessions
        self._tries = tries
        heads = [path.partition('{') for path in open_paths]
        self._open_paths = frozenset(head for head, brace, _ in heads if not brace)
        self._open_prefixes = tuple(head for head, brace, _ in heads if brace)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._is_local = is_local
        self._good_hosts: set[str] = set()

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Refuse a request that may not pass.

        Raises:
            BadHost: the Host header is malformed.
            UnknownHost: the Host header names another service.
            Unauthorized: there is neither the token nor a login.
            CrossSite: a page of another site sent it.
        """
        host = request.env.get('HTTP_HOST', '')
        if host not in self._good_hosts and not self._is_local:
            self._check_host(host)
        origin = request.env.get('HTTP_ORIGIN')
        if origin is not None and origin in self._origins:
            response.set_headers({'Access-Control-Allow-Origin': origin, **_CROSS_ORIGIN})
            response.append_header('Vary', 'Origin')
            if request.method == 'OPTIONS' and 'HTTP_ACCESS_CONTROL_REQUEST_METHOD' in request.env:
                # A preflight carries no credentials: Fetch standard, CORS-preflight fetch.
                response.status = falcon.HTTP_204
                response.complete = True
                return
        path = request.path
        if path in self._open_paths or path.startswith(self._open_prefixes):
            _check_same_origin(request)
            return
        self._authenticate(request)

    def _check_host(self, host: str) -> None:
        if _HOST.fullmatch(host) is None:
            raise BadHost(errors=[FieldError('must be a name or an address, with or without a port', parameter='Host')])
        name = (host.rpartition(':')[0] if not host.endswith(']') and ':' in host else host).lower()
        if not (name == 'localhost' or name.endswith('.localhost') or name in self._hosts or _is_address(name)):
            # A name that somebody else can point to 127.0.0.1 lets their web page in: DNS rebinding.
            raise UnknownHost(
                f'Host is {name[:100]!r}.', errors=[FieldError('is not a name of this service', parameter='Host')]
            )
        if len(self._good_hosts) < 100:
            self._good_hosts.add(host)

    def _authenticate(self, request: falcon.Request) -> None:
        authorization = request.env.get('HTTP_AUTHORIZATION')
        if authorization is not None:
            scheme, _, given = authorization.partition(' ')
            if scheme.lower() == 'bearer' and self._sessions.is_token(given.strip()[:LONGEST_TOKEN]):
                return
            # Not refused, but slowed down: who shares an address with a program that has an old token, as all do
            # behind a proxy, must not suffer.
            if self._tries.take(address_of(request)):
                self._tries.hold_up()
            raise _unauthorized('The token is wrong.', ', error="invalid_token"')
        if not self._sessions.is_session(request.env.get('HTTP_COOKIE')):
            raise _unauthorized('No token was sent.', '')
        # Here only the browser vouches for the request, so it must come from our own page.
        _check_same_origin(request)


def address_of(request: falcon.Request) -> str:
    """Return the address of a client; all have the same behind a proxy or on a unix socket.

    Args:
        request: its request.
    """
    return str(request.env.get('REMOTE_ADDR') or '')


def _check_same_origin(request: falcon.Request) -> None:
    """Refuse a request by which another site's page would change something.

    Args:
        request: one that carries no token.

    Raises:
        CrossSite: it comes from another site.
    """
    if request.method in _SAFE_METHODS:
        return
    site = request.get_header('Sec-Fetch-Site')
    origin = request.get_header('Origin')
    # Another port of the same host is another origin and the same site, so SameSite cookies do not tell.
    is_foreign = (site is not None and site not in ('same-origin', 'none')) or (
        origin is not None and _host_of(origin) != (request.get_header('Host') or '').lower()
    )
    if is_foreign or (site is None and origin is None and request.get_header('Cookie')):
        raise CrossSite('The request does not come from the page of this service.')


def _host_of(origin: str) -> str | None:
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


def _unauthorized(detail: str, error: str) -> Unauthorized:
    return Unauthorized(detail, headers={'WWW-Authenticate': f'Bearer realm="rq-leveldb"{error}'})
