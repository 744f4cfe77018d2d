"""Flask with Flask-RQ, on a store that the configuration names by its URL.

flask --app app run            http://127.0.0.1:5000/count?limit=1000000 gives the id of a job
flask --app app rq worker      in another shell
                               http://127.0.0.1:5000/jobs/ID gives its result
"""

from __future__ import annotations

from flask import Flask, abort, request
from flask_rq import RQ

import rq_leveldb

app = Flask(__name__)
app.config['RQ_CONNECTION'] = rq_leveldb.unix_url()
rq = RQ(app)


@rq.job
def count_primes(limit: int) -> int:
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


@app.get('/count')
def count() -> tuple[dict[str, str], int]:
    return {'job': count_primes.enqueue(int(request.args['limit'])).id}, 202


@app.get('/jobs/<job_id>')
def result(job_id: str) -> dict[str, object]:
    job = rq.queue.fetch_job(job_id)
    if job is None:
        abort(404)
    return {'status': job.get_status(), 'primes': job.return_value()}
