"""Cron definitions for the tests of the command line."""

import cli_jobs
from rq import cron

cron.register(cli_jobs.add, 'clock', args=(1, 1), interval=1)
