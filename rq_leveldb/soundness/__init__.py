"""Whether what RQ keeps in a place holds together, and repairing it while workers run.

=================  ====================================================================================
`finding`          what can be wrong, and what comes of it
`places`           where a job of a status has to be, and which names are RQ's
`queued_ids`       which ids are in the queues, a million of them in 8 MB
`scripts`          what is decided and repaired in one atomic step each
`suspect`          something that looks wrong, and is looked at again by one of the scripts
`check`            all of it in its order
=================  ====================================================================================

A worker takes a job through states that look wrong for a moment. So what looks wrong is looked at again after a pause,
by a script that sees everything about it at one instant. The same script repairs it, in the same instant.
"""

from __future__ import annotations

from rq_leveldb.soundness.check import Check, Progress
from rq_leveldb.soundness.finding import Finding, Report

__all__ = ['Check', 'Finding', 'Progress', 'Report']
