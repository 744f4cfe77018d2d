"""Walking the jobs of a state: every one once and in order, from anywhere, without those before it being read."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from redis import Redis

from rq_leveldb.jobs.states import Position, walk

KEY = 'rq:finished:q'
LATER = 4e9
NAMES = [f'{number:04}' for number in range(450)]
SCORES = {
    'each its own': {name: LATER + number for number, name in enumerate(NAMES)},
    'all kept for ever': dict.fromkeys(NAMES, math.inf),
    'many kept for ever': {name: math.inf if number > 30 else LATER + number for number, name in enumerate(NAMES)},
    'a few at a time': {name: LATER + number // 130 for number, name in enumerate(NAMES)},
}


@pytest.fixture(params=SCORES.values(), ids=list(SCORES))
def scores(request: pytest.FixtureRequest, redis: Redis) -> dict[str, float]:
    """Return the entries of a registry, by member."""
    found: dict[str, float] = request.param
    redis.zadd(KEY, found)
    return dict(found)


def _walked(redis: Redis, after: Position | None = None, *, oldest_first: bool = False) -> Iterator[str]:
    for chunk in walk(redis, 'finished', 'q', after, [], oldest_first=oldest_first):
        yield from (job_id for job_id, _ in chunk)


@pytest.mark.parametrize('oldest_first', [True, False])
def test_all_come_once_and_in_order(redis: Redis, scores: dict[str, float], oldest_first: bool) -> None:
    ordered = sorted(scores, key=lambda name: (scores[name], name), reverse=not oldest_first)
    assert list(_walked(redis, oldest_first=oldest_first)) == ordered
    for number in (0, 99, 100, 250, 448, 449):
        last = Position(scores[ordered[number]], ordered[number])
        assert list(_walked(redis, last, oldest_first=oldest_first)) == ordered[number + 1 :]
        redis.zrem(KEY, ordered[number])
        assert list(_walked(redis, last, oldest_first=oldest_first)) == ordered[number + 1 :]
        redis.zadd(KEY, {ordered[number]: scores[ordered[number]]})


@pytest.mark.parametrize('lowest', [math.inf, LATER])
def test_those_before_a_page_are_not_read(redis: Redis, lowest: float) -> None:
    names = [f'{number:04}' for number in range(3000)]
    redis.zadd(KEY, {**dict.fromkeys(names, math.inf), names[0]: lowest})
    redis.config_resetstat()
    assert next(_walked(redis, Position(math.inf, names[1000]))) == names[999]
    asked = {name: found['calls'] for name, found in redis.info('commandstats').items() if 'cmdstat_z' in name}
    # The first hundred of its score, and then what follows.
    assert sum(asked.values()) <= 6, asked


def test_a_registry_that_shrinks_meanwhile_is_walked_to_its_end(redis: Redis, scores: dict[str, float]) -> None:
    found = []
    for name in _walked(redis):
        found.append(name)
        redis.zrem(KEY, name)
    assert sorted(found) == NAMES


@pytest.mark.parametrize('removed', [0.5, 1, 2.5])
def test_a_queue_whose_jobs_are_taken_meanwhile_is_walked_to_its_end(redis: Redis, removed: float) -> None:
    key, found, gone = 'rq:queue:q', [], 0.0
    redis.rpush(key, *NAMES)
    for chunk in walk(redis, 'queued', 'q', None, []):
        names = [name for name, _ in chunk]
        found += names
        gone += removed * len(names)
        while gone >= 1 and redis.lpop(key) is not None:
            gone -= 1
    # Some may be taken before they are seen, and none is seen twice.
    assert found == sorted(set(found))
    assert found[-1] == NAMES[-1] or removed > 1
    assert removed > 1 or found == NAMES


def test_a_queue_whose_jobs_are_removed_as_they_are_seen_is_walked_to_its_end(redis: Redis) -> None:
    redis.rpush('rq:queue:q', *NAMES)
    found = []
    for chunk in walk(redis, 'queued', 'q', None, []):
        for name, _ in chunk:
            found.append(name)
            redis.lrem('rq:queue:q', 1, name)
    assert found == NAMES
