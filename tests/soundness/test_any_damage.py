"""Whatever is stored, a check of jobs comes to its end, and a repair leaves nothing that it could repair."""

from __future__ import annotations

from broken_records import Damage, Records, damages
from hypothesis import HealthCheck, given, settings

from rq_leveldb import Redis
from rq_leveldb.soundness import Check, Report


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
def repair(redis: Redis, damage: Damage) -> None:
    redis.flushdb()
    records = Records(redis)
    assert check(redis, fix=False).sound
    with records.broken(damage) as key:
        check(redis, fix=True)
        left = [finding for finding in check(redis, fix=False).findings if finding.fixable]
        assert not left, (key, left)


def check(redis: Redis, *, fix: bool) -> Report:
    return Check(redis, lambda name: False, fix=fix, progress=lambda *_: None, pause=0).run()


def test_a_repair_of_any_damage_leaves_nothing_to_repair(redis: Redis) -> None:
    repair(redis)
