"""RQ's suspend and resume, which say what they did to programs as well."""

from __future__ import annotations

from typing import Any

from rq.cli.cli import main as rq_group
from rq.cli.helpers import CliConfig
from rq.suspension import resume as go_on
from rq.suspension import suspend as pause

from rq_leveldb.cli import render

__all__ = ['resume', 'suspend']


def suspend(*, as_json: bool, **options: Any) -> None:
    """Suspend all workers."""
    if not as_json:
        _as_rq('suspend', options)
        return
    pause(CliConfig(**options).connection, options['duration'])
    render.document({'suspended': True, 'seconds': options['duration']})


def resume(*, as_json: bool, **options: Any) -> None:
    """Let them go on."""
    if not as_json:
        _as_rq('resume', options)
        return
    go_on(CliConfig(**options).connection)
    render.document({'suspended': False})


def _as_rq(command: str, options: dict[str, Any]) -> None:
    callback = rq_group.commands[command].callback
    assert callback is not None
    callback(**options)
