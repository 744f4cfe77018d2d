"""The place that a command works on: from the option, the environment, the settings module, or the default.

It is determined once, as one URL, and passed on in the environment. A job that enqueues without naming a connection,
and the HTTP front, therefore use the same place, and no command line shows a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import click
from rq.cli.helpers import read_config_file

from rq_leveldb.cli.options import check_url
from rq_leveldb.failed_import import describe
from rq_leveldb.location import URL_VARIABLES, parse

__all__ = ['adopt', 'extend_path', 'read_settings', 'resolve']

_TRUE = ('y', 'yes', 't', 'true')
_FALSE = ('n', 'no', 'f', 'false', '')
_TLS = ('ssl_ca_certs', 'ssl_cert_reqs', 'ssl_ca_data', 'ssl_keyfile', 'ssl_certfile')


def extend_path(paths: Iterable[str]) -> None:
    """Look for modules in these directories first.

    RQ appends them, but a module of the application must take precedence over one of the same name elsewhere.

    Args:
        paths: directories.
    """
    for path in reversed(list(paths)):
        if path not in sys.path:
            sys.path.insert(0, path)


def read_settings(module: str | None) -> dict[str, Any]:
    """Return the settings in the module of RQ's option --config, or none if it is not given.

    Args:
        module: its name.

    Raises:
        BadParameter: it cannot be imported.
    """
    if not module:
        return {}
    try:
        found: dict[str, Any] = read_config_file(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise click.BadParameter(describe(module, error), param_hint='--config') from error
    return found


def resolve(url: str | None, settings: Mapping[str, Any]) -> str | None:
    """Return the URL of the place.

    Args:
        url: from the option or the environment.
        settings: from the settings module.

    Returns:
        The URL; None if the settings name Sentinels, which no URL can express.

    Raises:
        BadParameter: the settings contradict themselves.
        StoreError: the URL cannot be used, or there is no default place.
    """
    if url:
        return check_url(url)
    if settings.get('REDIS_URL') is not None:
        return check_url(str(settings['REDIS_URL']))
    if settings.get('SENTINEL') is not None:
        return None
    if any(settings.get(f'REDIS_{name}') is not None for name in ('HOST', 'PORT')):
        return check_url(_server(settings))
    return parse(None).url


def adopt(url: str) -> None:
    """Make a place the default of this process and of all processes that it starts.

    Args:
        url: the place.
    """
    os.environ[URL_VARIABLES[0]] = url


def _server(settings: Mapping[str, Any]) -> str:
    """Return the URL of the server that RQ would connect to with REDIS_HOST and the related settings."""
    ssl = settings.get('REDIS_SSL', False)
    if isinstance(ssl, str):
        if ssl.lower() not in (*_TRUE, *_FALSE):
            raise click.BadParameter('REDIS_SSL is a boolean and must be True or False', param_hint='--config')
        ssl = ssl.lower() in _TRUE
    password = settings.get('REDIS_PASSWORD')
    login = f':{quote(str(password), safe="")}@' if password else ''
    host = str(settings.get('REDIS_HOST') or 'localhost')
    if ':' in host and not host.startswith('['):
        host = f'[{host}]'
    options = {name: settings.get(f'REDIS_{name.upper()}') for name in _TLS} if ssl else {}
    query = urlencode({name: value for name, value in options.items() if value is not None})
    return (
        f'{"rediss" if ssl else "redis"}://{login}{host}:{settings.get("REDIS_PORT") or 6379}'
        f'/{settings.get("REDIS_DB") or 0}{"?" if query else ""}{query}'
    )
