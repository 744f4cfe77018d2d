"""The options of redis.Redis, and which of them apply to a store; the others are accepted, with one warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, cast

import redis
import redis.asyncio
from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from rq_leveldb.errors import BadAddress
from rq_leveldb.location import Location

__all__ = [
    'UnusedSettingWarning',
    'for_server',
    'for_store',
    'name_positional',
    'warn_of_place',
    'warn_of_unused',
]

_FALSE_WORDS = ('0', 'f', 'false', 'n', 'no', '')
# What redis.Redis takes, found out now: an application may replace it with our class, which takes anything.
_PARAMETERS: Mapping[str, Parameter] = {
    **signature(redis.asyncio.Redis.__init__).parameters,
    **signature(redis.Redis.__init__).parameters,
}
_ORDER = [name for name in signature(redis.Redis.__init__).parameters if name != 'self']
_KNOWN = (frozenset(_PARAMETERS) | {'connection_class', 'parser_class'}) - {'self'}
_USED = _KNOWN & {
    'client_name',
    'db',
    'decode_responses',
    'encoding',
    'encoding_errors',
    'health_check_interval',
    'legacy_responses',
    'max_connections',
    'protocol',
    'redis_connect_func',
    'socket_connect_timeout',
    'socket_read_size',
    'socket_timeout',
}
# What a URL may set besides the place; the others of redis-py's options make no sense for a store.
_URL_OPTIONS: Mapping[str, Callable[[str], object]] = {
    'client_name': str,
    'encoding': str,
    'encoding_errors': str,
    'protocol': int,
    'socket_read_size': int,
    'decode_responses': lambda text: text.lower() not in _FALSE_WORDS,
    **{
        name: cast(Callable[[str], object], parse)
        for name, parse in URL_QUERY_ARGUMENT_PARSERS.items()
        if name in _USED and name != 'db'
    },
}
_TLS = frozenset(name for name in _KNOWN if name.startswith('ssl_'))
_NETWORK = _TLS | (_KNOWN & {'socket_keepalive', 'socket_keepalive_options'})
_FOR_A_SERVER = _KNOWN & {'credential_provider', 'retry', 'retry_on_error', 'retry_on_timeout', 'username'}
# Settings for a server on a network, and the values that need no warning, besides redis-py's own defaults.
_UNUSED: Mapping[str, tuple[object, ...]] = {
    'host': ('localhost', '127.0.0.1', '::1', None),
    'port': (6379, '6379', None),
    'ssl': (False, None),
    'username': (None, ''),
    'password': (None, ''),
    'unix_socket_path': (None,),
    'credential_provider': (None,),
    **{name: (None, _PARAMETERS[name].default) for name in sorted(_NETWORK)},
}


class UnusedSettingWarning(UserWarning):
    """A client of the store was given a setting that only applies to a Redis server."""


def name_positional(first: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return positional arguments as options.

    Args:
        first: the name of the first of them.
        values: the arguments.

    Raises:
        TypeError: redis.Redis does not take that many.
    """
    names = _ORDER[_ORDER.index(first) :]
    if len(values) > len(names):
        raise TypeError(f'Redis() takes at most {len(_ORDER)} positional arguments')
    return dict(zip(names, values, strict=False))


def _check(options: Mapping[str, Any]) -> None:
    """Check that redis.Redis takes these options, whether or not they mean anything here.

    Args:
        options: by name.

    Raises:
        TypeError: it has no such option.
    """
    unknown = sorted(set(options) - _KNOWN)
    if unknown:
        raise TypeError(f'Redis() got an unexpected keyword argument {unknown[0]!r}')


def for_store(location: Location, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a connection to a store takes, with those of its URL, which take precedence.

    Args:
        location: the place.
        options: of redis.Redis.

    Raises:
        BadAddress: the URL of the place has an option that is not known, or its value cannot be read.
        TypeError: redis.Redis has no such option.
    """
    _check(options)
    kept = {name: value for name, value in options.items() if name in _USED}
    for name, text in location.extra.items():
        if name not in _URL_OPTIONS:
            raise BadAddress(location.url, advice=f'A store has no option {name}. Remove it.')
        try:
            kept[name] = _URL_OPTIONS[name](text)
        except ValueError as error:
            raise BadAddress(location.url, advice=f'{name} cannot be {text}.') from error
    # redis-py's own 5 s are for networks. The end of a store's process is noticed at once, while emptying a queue of a
    # million jobs is one slow command.
    kept.setdefault('socket_timeout', None)
    kept['db'] = int(kept.get('db') or 0) or location.db
    return kept


def for_server(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that apply to a real Redis server whose URL names the place.

    Args:
        url: redis://, rediss:// or unix://.
        options: of redis.Redis.

    Raises:
        TypeError: redis.Redis has no such option.
    """
    _check(options)
    scheme = url.partition('://')[0].lower()
    names = _USED | _FOR_A_SERVER | {'password'}
    if scheme != 'unix':
        names |= _NETWORK - _TLS
    if scheme == 'rediss':
        names |= _TLS
    return {
        name: value
        for name, value in options.items()
        # If these are empty the URL's apply. Connections and redis.Redis differ in which value means none.
        if name in names and (value or name not in ('db', 'password', 'retry_on_error', 'username'))
    }


def warn_of_place(options: Mapping[str, Any], url: str) -> None:
    """Warn of options that name a server if a URL names it already.

    Args:
        options: of redis.Redis.
        url: redis://, rediss:// or unix://.
    """
    is_tls = url.lower().startswith('rediss:')
    names = ('host', 'port', 'unix_socket_path') if is_tls else ('host', 'port', 'unix_socket_path', 'ssl')
    named = {name: options[name] for name in names if name in options}
    warn_of_unused(named, 'the configured URL names the server', depth=5)


def warn_of_unused(options: Mapping[str, Any], reason: str = 'the store is on this machine', depth: int = 3) -> None:
    """Warn of options for a server on a network, if there are any.

    Args:
        options: of redis.Redis.
        reason: why they are not used.
        depth: which caller the warning points at, as `stacklevel` of warnings.warn.
    """
    unused = [name for name, silent in _UNUSED.items() if name in options and options[name] not in silent]
    if unused:
        warnings.warn(f'{", ".join(unused)}: not used, {reason}', UnusedSettingWarning, stacklevel=depth)
