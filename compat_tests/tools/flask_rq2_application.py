"""An application of Flask-RQ2."""

from __future__ import annotations

import os

from flask import Flask
from flask_rq2 import RQ

app = Flask(__name__)
app.config['RQ_REDIS_URL'] = os.environ['REDIS_URL']
rq = RQ(app)


@rq.job
def add(left: int, right: int) -> int:
    return left + right
