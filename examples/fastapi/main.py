"""FastAPI under uvicorn, with several processes and one store.

uvicorn main:app --workers 2             http://127.0.0.1:8000/count?limit=1000000 gives the id of a job
rq-leveldb worker --import jobs          in another shell, in this directory
                                         http://127.0.0.1:8000/jobs/ID gives its result
"""

from __future__ import annotations

import os

from fastapi import FastAPI, HTTPException
from jobs import count_primes

from rq_leveldb import Job, NoSuchJobError, Queue, Redis

app = FastAPI()
# Redis() starts the store itself; whatever takes only a URL here would get that of rq_leveldb.unix_url().
connection = Redis()
queue = Queue(connection=connection)


# Without `async`: RQ waits for the store, and FastAPI calls such functions in threads.
@app.get('/count', status_code=202)
def count(limit: int) -> dict[str, object]:
    return {'job': queue.enqueue(count_primes, limit).id, 'process': os.getpid()}


@app.get('/jobs/{job_id}')
def result(job_id: str) -> dict[str, object]:
    try:
        job = Job.fetch(job_id, connection=connection)
    except NoSuchJobError:
        raise HTTPException(404) from None
    return {'status': job.get_status(), 'primes': job.return_value(), 'process': os.getpid()}
