"""How a job's process ended, and what that means for the job: decided purely, from what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .mailbox import Report

__all__ = ['STOPPED', 'Ending', 'Fate', 'Verdict', 'decide', 'judge', 'pause_before_rerun']

STOPPED = 'stopped'
"""The reason of a stop that somebody asked for, for this job alone."""

_LONGEST_PAUSE = 60.0


class Verdict(Enum):
    """What is to be done about an end."""

    WRITTEN = 'the child wrote everything down'
    SUCCESS = 'it succeeded, and that is to be written'
    RETRY = 'it returned a Retry, and that is to be written'
    FAILURE = 'it raised, and that is to be written'
    STOPPED = 'somebody stopped it'
    ABANDONED = 'its worker went away or was stopped'
    CRASHED = 'its process went away'


def judge(report: Report | None, stop_reason: str) -> Verdict:
    """Say what an end means.

    Args:
        report: what the child said.
        stop_reason: why it was killed by its worker; '' if it was not.
    """
    kind = report.kind if report is not None else ''
    told = {
        'written': Verdict.WRITTEN,
        'success': Verdict.SUCCESS,
        'retry': Verdict.RETRY,
        'failure': Verdict.FAILURE,
    }
    if kind in told:
        return told[kind]
    if stop_reason:
        return Verdict.STOPPED if stop_reason == STOPPED else Verdict.ABANDONED
    # It raised, and its process died while handling that: the exception is what counts.
    return Verdict.FAILURE if kind == 'tried' else Verdict.CRASHED


@dataclass
class Ending:
    """How one execution ended.

    Args:
        verdict: what it means.
        reason: what happened, in words; of an end that the job did not choose.
        crashed: whether it counts as one of the crashes in a row.
        report: what the child said.
        pid: the process.
        status: its wait status.
        usage: the values of its resource usage, in the order of `resource.struct_rusage`.
        seconds: for how long it ran.
        exit: the exit in words.
        again: an earlier attempt to write it down may have been carried out.
    """

    verdict: Verdict
    reason: str = ''
    crashed: bool = False
    report: Report | None = None
    pid: int = 0
    status: int = 0
    usage: tuple[float, ...] = (0,) * 16
    seconds: float = 0.0
    exit: str = ''
    again: bool = False


class Fate(Enum):
    """What becomes of a job whose process went away before it was finished."""

    REQUEUED = 'requeued'
    SETTLED = 'retried or failed'
    POISONOUS = 'failed as poisonous'


def decide(*, crashes: int, max_crashes: int, requeue: bool) -> Fate:
    """Decide what becomes of an abandoned job.

    Args:
        crashes: how many times in a row it took its process down, this time included.
        max_crashes: how many are too many.
        requeue: whether abandoned jobs go back to their queue.
    """
    if crashes >= max_crashes:
        return Fate.POISONOUS
    return Fate.REQUEUED if requeue else Fate.SETTLED


def pause_before_rerun(crashes: int) -> float:
    """Return the seconds that a requeued job waits; 0 for the first time, when it also goes to the front.

    Args:
        crashes: how many times in a row it took its process down, this time included.
    """
    return 0.0 if crashes < 2 else min(2.0 ** (crashes - 2), _LONGEST_PAUSE)
