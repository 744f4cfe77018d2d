"""Runs every check with one of RQ's worker classes and prints a JSON line for each: name, error, and what was seen."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback

from shop.checks import CHECKS, Shop
from shop.connection import connect


def main(worker_class: str) -> None:
    logging.getLogger('rq').setLevel(logging.CRITICAL)
    for name, check in CHECKS.items():
        connection = connect()
        connection.flushdb()
        error, seen, started = None, None, time.monotonic()
        try:
            seen = check(Shop(connection, worker_class))
        except Exception:
            error = traceback.format_exc()
        took = round(time.monotonic() - started, 3)
        print(json.dumps({'check': name, 'error': error, 'seen': seen, 'seconds': took}), flush=True)


main(sys.argv[1])
