"""The worker: RQ's jobs, one forked process each, at most N at once. A client of the store like any other.

Each module imports only from below: setup.cfg has their order. A job goes through them in this one:

=================  =================================================================================
`supervisor`       the loop: there may be work, a child waits
`intake`           takes the job off its queue: an `assignment`
`child`            is given what it is told to do, the `Task`
`job_process`      in the child: becomes the worker for this job, and runs RQ's `perform_job`
`performing`       RQ's methods that `perform_job` calls
`record`           writes how the job ended, or says it in the `mailbox`
`further_jobs`     has the child go on with another job, or lets it end
`forker`           reaps the child, and tells the `nursery`
`ended`            what the exit and the mailbox mean: an `ending`
`settling`         keeps the ending until it is written down, exactly once
`settlement`       writes it, where the child did not: here, or in another child
=================  =================================================================================

When a worker dies, `recovery` in another one goes on with `settling`.
"""

from __future__ import annotations

from .keep import Keep
from .services import Service
from .settings import Settings
from .worker import Worker

__all__ = ['Keep', 'Service', 'Settings', 'Worker']
