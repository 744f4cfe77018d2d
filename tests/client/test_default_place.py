"""A connection's place as a URL, and as the default of those who name none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from rq_leveldb import Redis
from rq_leveldb.client.default_place import default_place, url_of
from rq_leveldb.location import configured_url


@pytest.mark.parametrize(
    'url',
    [
        'leveldb:///a/b%20c',
        'leveldb:///a?db=2&fsync=always',
        'redis://localhost:6379/0',
        'redis://:p%40ss%2F@10.0.0.1:1/3',
        'rediss://user:secret@[::1]:6380/1?ssl_ca_certs=%2Fa',
        'unix://user:secret@/run/redis.sock?db=4',
    ],
)
def test_a_url_survives(url: str) -> None:
    again = Redis.from_url(url)
    assert url_of(again) == url


def test_sentinels_have_none() -> None:
    master = redis.Sentinel([('localhost', 26379)]).master_for('name')
    assert url_of(master) is None


def test_it_is_the_default_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Redis.from_url(f'leveldb://{tmp_path}/here')
    with default_place(client):
        assert configured_url() == f'leveldb://{tmp_path}/here'
        assert url_of(Redis()) == f'leveldb://{tmp_path}/here'
    assert 'RQ_LEVELDB_URL' not in os.environ
    monkeypatch.setenv('RQ_REDIS_URL', 'leveldb:///elsewhere')
    with default_place(client):
        assert configured_url() == 'leveldb:///elsewhere'
