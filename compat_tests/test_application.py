"""One application, three places: the store, Redis by changing one import, Redis by changing one URL.

The application in `application/shop` asserts what it relies on itself; here it is run in each place, with each of RQ's
worker classes, and what it saw is compared.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.real_redis import RealRedis

APPLICATION = Path(__file__).with_name('application')
OURS, THEIRS = 'from rq_leveldb import Redis\n', 'from redis import Redis\n'
PLACES = ['store', 'import', 'url']
WORKERS = ['simple', 'fork']
CHECKS = [
    node.name
    for node in ast.parse((APPLICATION / 'shop' / 'checks.py').read_text()).body
    if isinstance(node, ast.FunctionDef) and any(getattr(mark, 'id', '') == 'check' for mark in node.decorator_list)
]
Outcome = dict[str, dict[str, Any]]


def move_by_one_line(target: Path) -> Path:
    """A copy of the application that runs on redis-py's own connection, and proof that one line differs."""
    copy = target / 'application'
    shutil.copytree(APPLICATION, copy, ignore=shutil.ignore_patterns('__pycache__', 'bare.py'))
    file = copy / 'shop' / 'connection.py'
    file.write_text(file.read_text().replace(OURS, THEIRS))
    differing = [
        pair
        for path in sorted(copy.rglob('*.py'))
        for pair in zip(
            path.read_text().splitlines(True),
            (APPLICATION / path.relative_to(copy)).read_text().splitlines(True),
            strict=True,
        )
        if pair[0] != pair[1]
    ]
    assert differing == [(THEIRS, OURS)]
    return copy


@pytest.fixture(scope='module')
def real_redis() -> Iterator[RealRedis]:
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    with RealRedis(port=port) as server:
        yield server


@pytest.fixture(scope='module')
def run_in(tmp_path_factory: pytest.TempPathFactory, real_redis: RealRedis) -> Callable[..., Outcome]:
    """Runs the application once in a place with a worker class, and remembers what came out."""
    remembered: dict[tuple[str, str], Outcome] = {}

    def environment(place: str, directory: Path) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if key not in ('RQ_LEVELDB_URL', 'RQ_REDIS_URL')}
        if place == 'store':
            return own | {'PYTHONPATH': str(APPLICATION), 'RQ_LEVELDB_URL': f'leveldb://{directory / "jobs"}'}
        if place == 'url':
            url = f'redis://127.0.0.1:{real_redis.port}/0'
            return own | {'PYTHONPATH': str(APPLICATION), 'RQ_LEVELDB_URL': url}
        moved = {'PYTHONPATH': str(move_by_one_line(directory)), 'SHOP_REDIS_HOST': '127.0.0.1'}
        return own | moved | {'SHOP_REDIS_PORT': str(real_redis.port)}

    def run(place: str, worker: str) -> Outcome:
        if (place, worker) not in remembered:
            directory = tmp_path_factory.mktemp(f'{place}-{worker}')
            command = [sys.executable, '-m', 'shop', worker]
            done = subprocess.run(
                command, env=environment(place, directory), cwd=directory, capture_output=True, text=True, timeout=110
            )
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            remembered[place, worker] = {line.pop('check'): line for line in lines}
            assert done.returncode == 0, done.stderr
        return remembered[place, worker]

    run.environment = environment
    return run


@pytest.mark.parametrize('name', CHECKS)
@pytest.mark.parametrize('worker', WORKERS)
@pytest.mark.parametrize('place', PLACES)
def test_the_application_works(run_in: Callable[..., Outcome], place: str, worker: str, name: str) -> None:
    error = run_in(place, worker)[name]['error']
    assert error is None, error


@pytest.mark.parametrize('name', CHECKS)
@pytest.mark.parametrize('worker', WORKERS)
def test_the_application_sees_the_same_everywhere(run_in: Callable[..., Outcome], worker: str, name: str) -> None:
    on_store, *on_redis = (run_in(place, worker)[name]['seen'] for place in PLACES)
    assert [on_store, on_store] == on_redis


@pytest.mark.parametrize('place', ['store', 'url'])
def test_no_connection_need_be_named(run_in: Any, tmp_path: Path, place: str) -> None:
    command = [sys.executable, '-c', 'from shop.bare import run; print(run())']
    environment = run_in.environment(place, tmp_path)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == '[8, 15, 18]\n', done.stderr
