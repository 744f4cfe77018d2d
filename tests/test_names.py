"""The public names, and that the store needs none of the libraries behind them."""

from __future__ import annotations

import subprocess
import sys

import rq
import rq.job
import rq.registry

import rq_leveldb


def test_every_public_name_is_there() -> None:
    for name in rq_leveldb.__all__:
        assert getattr(rq_leveldb, name) is not None
    assert set(rq_leveldb.__all__) <= set(dir(rq_leveldb))


def test_rqs_public_names_are_re_exported() -> None:
    assert set(rq.__all__) <= set(rq_leveldb.__all__)
    assert rq_leveldb.Job is rq.job.Job
    assert rq_leveldb.FailedJobRegistry is rq.registry.FailedJobRegistry
    assert issubclass(rq_leveldb.Queue, rq.Queue)
    assert issubclass(rq_leveldb.Worker, rq.Worker)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rq_leveldb, 'Celery')


def test_importing_the_package_loads_neither_rq_nor_redis() -> None:
    code = """
import sys, rq_leveldb, rq_leveldb.__main__, rq_leveldb.errors, rq_leveldb.location, rq_leveldb.process
print([name for name in ('rq', 'redis', 'click', 'rich', 'plyvel', 'asyncio') if name in sys.modules])
"""
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert loaded.stdout == '[]\n'
