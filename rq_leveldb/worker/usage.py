"""What the executions of a job used, as it is kept with the job."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from rq.executions import Execution

from rq_leveldb.records import CRASHES_FIELD, USAGE_FIELD

from .ending import Ending

__all__ = ['RSS_UNIT', 'decode_list', 'encode_list', 'forget_peak', 'usage_fields', 'usage_of']

_KEPT = 10

RSS_UNIT = 1 if sys.platform == 'darwin' else 1024
"""Bytes in the unit of getrusage(2)'s and wait4(2)'s `ru_maxrss`: kilobytes on Linux, bytes on macOS."""


def encode_list(entries: list[dict[str, Any]]) -> str:
    """Return the text of a list that is kept with a job, its oldest entries left out."""
    return json.dumps(entries[-_KEPT:], separators=(',', ':'))


def decode_list(text: bytes | str | None) -> list[dict[str, Any]]:
    """Return the list that `encode_list` wrote; an empty one for what it did not write."""
    try:
        entries = json.loads(text or '[]')
    except ValueError:
        return []
    return entries if isinstance(entries, list) else []


def usage_of(execution: Execution, ending: Ending) -> dict[str, Any] | None:
    """Return what an execution used that did not write it down itself; None if nothing is known.

    Args:
        execution: the execution, with the name of the worker that had it.
        ending: how it ended.
    """
    if ending.report is not None and ending.report.usage:
        return ending.report.usage
    if not ending.pid:
        # It was another worker's process, whose end nobody has seen.
        return None
    user, system, memory = ending.usage[:3]
    return {
        'execution': execution.id,
        'worker': execution.worker_name,
        'started': execution.created_at.timestamp(),
        'wall': round(ending.seconds, 6),
        'cpu': round(user + system, 6),
        'memory': int(memory) * RSS_UNIT,
        'exit': ending.exit,
    }


def usage_fields(usage: dict[str, Any], raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the fields of a job in which it stands what its executions used.

    Args:
        usage: what the last one used.
        raw: the job's fields as they were when it began.
    """
    fields = {USAGE_FIELD: encode_list([*decode_list(raw.get(USAGE_FIELD.encode())), usage])}
    if raw.get(CRASHES_FIELD.encode()) and usage['exit'] == 0:
        # Only crashes in a row count.
        fields[CRASHES_FIELD] = '[]'
    return fields


def forget_peak() -> None:
    """Have the calling process' peak of memory counted anew, where the kernel can: proc_pid_clear_refs(5)."""
    with contextlib.suppress(OSError), open('/proc/self/clear_refs', 'wb', buffering=0) as file:
        file.write(b'5')
