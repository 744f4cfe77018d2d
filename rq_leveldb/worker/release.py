"""Jobs that wait in a registry and are due: each goes to its queue in one atomic step, and whoever removes it decides.

RQ reads the jobs, decides, and writes: where two do so at once it enqueues twice (scheduled jobs) or not at all
(dependents), and one record that it cannot read stops all the others. The script here looks at a job's short fields
alone, whatever the size of its arguments, and leaves the store as `Queue._enqueue_job` does. What it does not
understand (a rate limit, a field in another spelling) goes through RQ's own methods, watched; what RQ cannot read
fails, with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError, WatchError
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import DeferredJobRegistry
from rq.utils import now, utcformat

from rq_leveldb.unreadable import UnreadableJob, is_wrong_type, restore_job

from .broken import fail_unreadable, set_aside
from .site import Site
from .trouble import is_about_the_store

__all__ = ['Source', 'release_due']

# Ids that are read and passed to the script at once; the store does nothing else meanwhile.
_PAGE = 100
# Pages of ids in one call; the caller has other things to do, and calls again.
_PAGES = 20
# Attempts, since somebody else may write to the job between our read and our write.
_ATTEMPTS = 50
_FOR_EVER = 1e300

# KEYS: registry, queue, the queue's deferred registry
# ARGV: highest score that is due, status that a job must have ('' for any), every status that there is as ',a,b,',
#       name of the queue, now, default time-out, job prefix, job ids...
# Returns for each job: 1 enqueued, 0 no longer there, -1 to be looked at.
_RELEASE = """
local function whole(text)
    if not text or text == '' then return true, nil end
    if #text > 15 or not string.match(text, '^%-?%d+$') then return false, nil end
    return true, tonumber(text)
end
local highest, outcomes = tonumber(ARGV[1]), {}
for index = 8, #ARGV do
    local id, outcome = ARGV[index], -1
    local key = ARGV[7] .. id
    local score = redis.call('ZSCORE', KEYS[1], id)
    if not score or tonumber(score) > highest then
        outcome = 0
    else
        local raw = redis.pcall('HMGET', key, 'status', 'ttl', 'timeout', 'enqueue_at_front',
                                'enqueue_at_front_on_retry', 'ended_at', 'rate_limit_concurrency')
        if raw.err then
            outcome = -1
        elseif redis.call('HEXISTS', key, 'data') == 0 then
            redis.call('ZREM', KEYS[1], id)
            outcome = 0
        else
            local status, at_front, again = raw[1], raw[4], raw[5]
            local ttl_ok, ttl = whole(raw[2])
            local timeout_ok, timeout = whole(raw[3])
            local known = not status or string.find(ARGV[3], ',' .. status .. ',', 1, true)
            if status and known and ARGV[2] ~= '' and status ~= ARGV[2] then
                redis.call('ZREM', KEYS[1], id)
                outcome = 0
            elseif status and known and ttl_ok and ttl ~= 0 and timeout_ok and timeout ~= 0
                   and (not at_front or at_front == '0' or at_front == '1')
                   and (not again or again == '' or again == '0' or again == '1')
                   and (not raw[7] or raw[7] == '') then
                local front = at_front == '1' or (again == '1' and raw[6] and raw[6] ~= '')
                local pushed = redis.pcall(front and 'LPUSH' or 'RPUSH', KEYS[2], id)
                if type(pushed) == 'number' then
                    redis.call('ZREM', KEYS[1], id)
                    if status == 'deferred' then redis.call('ZREM', KEYS[3], id) end
                    redis.call('HSET', key, 'status', 'queued', 'origin', ARGV[4], 'enqueued_at', ARGV[5])
                    if not timeout then redis.call('HSET', key, 'timeout', ARGV[6]) end
                    if ttl and ttl > 0 then
                        redis.call('EXPIRE', key, ttl)
                        redis.call('EXPIRE', key .. ':dependents', ttl)
                        redis.call('EXPIRE', ARGV[7] .. ':' .. id .. ':dependencies', ttl)
                    end
                    outcome = 1
                end
            end
        end
    end
    outcomes[#outcomes + 1] = outcome
end
return outcomes
"""

_STATUSES = f',{",".join(status.value for status in JobStatus)},'


class Source:
    """Where jobs wait for being enqueued.

    Args:
        name: of the queue.
        key: of the registry.
        status: that a job must have, else its entry is stale; None for any, as RQ does with scheduled jobs.
    """

    def __init__(self, name: str, key: str, status: JobStatus | None = None) -> None:
        self.name = name
        self.key = key
        self.status = status
        # RQ uses its own queue class here, not the worker's.
        self.queue_key = Queue.redis_queue_namespace_prefix + name
        self.deferred_key = DeferredJobRegistry.key_template.format(name)


def release_due(site: Site, source: Source, highest: float = _FOR_EVER) -> int:
    """Enqueue the jobs that are due in a registry, at most 2,000, unless somebody else did, and take them off it.

    Args:
        site: whose connection, classes and serializer count.
        source: the registry.
        highest: the highest score at which an entry is due.

    Returns:
        How many entries are no longer there.

    Raises:
        RedisError: the store went away, or takes no writes.
    """
    total = 0
    for _ in range(_PAGES):
        try:
            ids: Any = site.connection.zrangebyscore(source.key, 0, highest, start=0, num=_PAGE)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            set_aside(site, source.key, f'{source.key} is no sorted set; nothing can be enqueued from it')
            break
        done = _release(site, source, ids, highest) if ids else 0
        total += done
        if not done:
            break
    return total


def _release(site: Site, source: Source, ids: Sequence[bytes], highest: float) -> int:
    outcomes = _run(site, source, ids, highest)
    odd = [job_id for job_id, outcome in zip(ids, outcomes, strict=True) if outcome < 0]
    done = len(ids) - len(odd)
    if odd and site.connection.type(source.queue_key) not in (b'none', b'list'):
        # The queue is to blame, not the jobs.
        set_aside(site, source.queue_key, f'{source.queue_key} is no list; nothing can be enqueued there')
        return done
    return done + sum(_release_as_rq(site, source, job_id, highest) for job_id in odd)


def _run(site: Site, source: Source, ids: Sequence[bytes], highest: float) -> list[int]:
    keys = [source.key, source.queue_key, source.deferred_key]
    status = source.status.value if source.status is not None else ''
    arguments: list[Any] = [
        highest,
        status,
        _STATUSES,
        source.name,
        utcformat(now()),
        Queue.DEFAULT_TIMEOUT,
        site.job_class.redis_job_namespace_prefix,
        *ids,
    ]
    script = site.connection.register_script(_RELEASE)
    try:
        outcomes: list[int] = script(keys=keys, args=arguments)
        return outcomes
    except ResponseError as error:
        if is_about_the_store(error):
            raise
        if len(ids) == 1:
            return [-1]
    # One of them has a field that is too large for a script.
    return [outcome for job_id in ids for outcome in _run(site, source, [job_id], highest)]


def _release_as_rq(site: Site, source: Source, raw_id: bytes, highest: float) -> bool:
    """Enqueue one job by RQ's methods, or fail it; returns whether its entry is gone."""
    try:
        job_id = raw_id.decode()
    except UnicodeDecodeError:
        set_aside(site, source.key, f'{source.key} has an entry that is no UTF-8: {raw_id!r}')
        return bool(site.connection.zrem(source.key, raw_id))
    try:
        return _watched(site, source, job_id, highest)
    except UnreadableJob as error:
        fault: UnreadableJob | str = error
    except Exception as error:
        if is_about_the_store(error):
            raise
        fault = f'Job {job_id} could not be enqueued: {type(error).__name__}: {error}'
    # The entry is removed first: two workers may have found it.
    if site.connection.zrem(source.key, job_id):
        fail_unreadable(site, job_id, source.name, fault)
    return True


def _watched(site: Site, source: Source, job_id: str, highest: float) -> bool:
    connection = site.connection
    job_class: type[Job] = site.job_class
    queue = Queue(source.name, connection=connection, job_class=job_class, serializer=site.serializer)
    key = job_class.key_for(job_id)
    for _ in range(_ATTEMPTS):
        try:
            with connection.pipeline() as pipeline:
                # Whoever enqueues the job writes to it, so its busy registry need not be watched.
                pipeline.watch(key)
                score: Any = pipeline.zscore(source.key, job_id)
                if score is None or score > highest:
                    return True
                raw: Any = pipeline.hgetall(key)
                job = _job(site, job_id, raw)
                pipeline.multi()
                pipeline.zrem(source.key, job_id)
                if job is not None and source.status in (None, job.get_status(refresh=False)):
                    enqueue = queue._enqueue_rate_limited_job if job.has_rate_limit else queue._enqueue_job
                    enqueue(job, pipeline=pipeline, at_front=job.should_enqueue_at_front())
                pipeline.execute()
                return True
        except WatchError:
            continue
    return False


def _job(site: Site, job_id: str, raw: dict[bytes, bytes]) -> Job | None:
    def make() -> Job:
        return site.job_class(job_id, connection=site.connection, serializer=site.serializer)

    if not raw:
        return None
    try:
        return restore_job(make, raw)
    except NoSuchJobError:
        return None
