"""rq-leveldb enqueue --url http://...: enqueue through the HTTP front instead of the store."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rq.cli.helpers import parse_function_args, parse_schedule
from rq.utils import get_call_string

from rq_leveldb.cli import render
from rq_leveldb.errors import StoreError
from rq_leveldb.location import configured_url, front_directory

__all__ = ['enqueue', 'is_http_url']

_TIMEOUT = 30.0
_TOKEN_VARIABLE = 'RQ_LEVELDB_HTTP_TOKEN'
_TOKEN_FILE_VARIABLE = 'RQ_LEVELDB_HTTP_TOKEN_FILE'


class HttpRefused(StoreError):
    """The HTTP front did not do what was asked."""

    default_title = 'The HTTP front refused the request'
    default_advice = 'See the log of the worker or of rq-leveldb http.'


def is_http_url(url: str | None) -> bool:
    """Return whether a URL is that of an HTTP front."""
    return url is not None and url.lower().startswith(('http://', 'https://'))


def enqueue(options: Mapping[str, Any]) -> None:
    """Enqueue a job over HTTP, and report it as RQ's command does.

    Args:
        options: those of RQ's command, by name.

    Raises:
        StoreError: the front refused it, or cannot be reached.
    """
    args, kwargs = parse_function_args(options['arguments'])
    call = get_call_string(options['function'], args, kwargs)
    document: dict[str, Any] = {
        'function': options['function'],
        'args': args,
        'kwargs': kwargs,
        'description': options['description'] or call,
        'depends_on': list(options['depends_on']) or None,
    }
    for name in ('queue', 'timeout', 'result_ttl', 'ttl', 'failure_ttl', 'job_id', 'at_front'):
        document[name] = options[name]
    if options['retry_max'] > 0:
        document['retry'] = {'max': options['retry_max'], 'intervals': list(options['retry_interval'])}
    schedule = parse_schedule(options['schedule_in'], options['schedule_at'])
    if schedule is not None:
        # Without an offset, RQ's command means local time.
        document['enqueue_at'] = schedule.astimezone().isoformat()
    try:
        body = json.dumps(document)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(f'over HTTP, arguments must be JSON: {error}') from error
    job = _post(options['url'].rstrip('/') + '/v1/jobs', body)
    if options['as_json']:
        shown = {'job_id': job['id'], 'queue': options['queue'], 'function': options['function'], 'warnings': []}
        render.document(shown)
    elif not options['quiet']:
        click.echo(f"Enqueued {click.style(call, fg='blue')} with job-id '{job['id']}'.")


def _post(url: str, body: str) -> Any:
    headers = {'Content-Type': 'application/json'}
    token = _token()
    if token:
        headers['Authorization'] = f'Bearer {token}'
    request = urllib.request.Request(url, body.encode(), headers, method='POST')
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refused(url, error) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, 'reason', error)
        raise HttpRefused(
            url,
            title=f'The HTTP front cannot be reached ({reason})',
            advice='Is a worker or rq-leveldb http running there, and is this its URL?',
        ) from error


def _refused(url: str, error: urllib.error.HTTPError) -> HttpRefused:
    try:
        problem = json.load(error)
        text = problem.get('detail') or problem.get('title')
        hint = problem.get('hint')
    except (ValueError, AttributeError):
        text, hint = None, None
    if error.code == 401:
        hint = f'Set {_TOKEN_VARIABLE} to what rq-leveldb token prints there.'
    return HttpRefused(url, title=str(text or f'The HTTP front answered {error.code}').rstrip('.'), advice=hint)


def _token() -> str | None:
    """Return the token that is set, or in the file that is, or else that of this user's own place."""
    given = os.environ.get(_TOKEN_VARIABLE)
    if given:
        return given
    url = configured_url()
    try:
        file = os.environ.get(_TOKEN_FILE_VARIABLE) or front_directory(None if is_http_url(url) else url).token
        return Path(file).read_text('ascii').strip()
    except (OSError, ValueError, StoreError):
        return None
