"""An application of Flask-RQ whose configuration names our class of connections."""

from __future__ import annotations

import os

from flask import Flask
from flask_rq import RQ

app = Flask(__name__)
app.config['RQ_CONNECTION'] = os.environ['RQ_LEVELDB_URL']
app.config['RQ_CONNECTION_CLASS'] = 'rq_leveldb.Redis'
rq = RQ(app)


@rq.job
def add(left: int, right: int) -> int:
    return left + right


@app.cli.command()
def enqueue() -> None:
    print(add.enqueue(20, 22).id)
