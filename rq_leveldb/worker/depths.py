"""How many jobs wait in each queue: the most of each minute and hour, for the history.

Every worker looks every few seconds, at its own queues and at others. Where several look, the largest number counts:

    rq-leveldb:history:waiting-minutes:HOUR    MINUTE|QUEUE -> jobs
    rq-leveldb:history:waiting-hours:DAY       HOUR|QUEUE -> jobs

Hours and days in keys count from the epoch, minutes from the full hour, and hours in fields from midnight (UTC). There
is nothing for an empty queue.
"""

from __future__ import annotations

import time

from rq.queue import Queue

from rq_leveldb.records import HISTORY_HOURS_TTL, HISTORY_KEY_TEMPLATE, HISTORY_LONGEST_NAME, HISTORY_MINUTES_TTL

from .script import Script
from .site import Site

__all__ = ['Depths']

# A bound on what one look costs, and with the next two on the size of all this.
_MOST_QUEUES = 100
_MOST_MINUTES = 60 * _MOST_QUEUES
_MOST_HOURS = 24 * _MOST_QUEUES

# KEYS: minutes, hours, the names of all queues, the worker's queues...
# ARGV: minute, hour, time to live of minutes, of hours, most fields of minutes, of hours, most queues, longest name,
#       prefix of queues
# Returns how many queues are not empty.
_NOTE = """
local function note(key, ttl, most, at, name, waiting)
    local field = at .. '|' .. name
    local before = redis.call('HGET', key, field)
    if before and (tonumber(before) or 0) >= waiting then return end
    if not before and redis.call('HLEN', key) >= tonumber(most) then return end
    redis.call('HSET', key, field, waiting)
    redis.call('EXPIRE', key, ttl)
end
local queues = {}
for index = 4, #KEYS do queues[KEYS[index]] = true end
local others = redis.pcall('SRANDMEMBER', KEYS[3], ARGV[7])
if not others.err then
    for _, key in ipairs(others) do queues[key] = true end
end
local found = 0
for key in pairs(queues) do
    local waiting = redis.pcall('LLEN', key)
    local name = string.sub(key, #ARGV[9] + 1)
    if type(waiting) == 'number' and waiting > 0 and #name <= tonumber(ARGV[8]) then
        found = found + 1
        -- A key that holds another type of value is passed over.
        pcall(note, KEYS[1], ARGV[3], ARGV[5], ARGV[1], name, waiting)
        pcall(note, KEYS[2], ARGV[4], ARGV[6], ARGV[2], name, waiting)
    end
end
return found
"""


class Depths:
    """Notes how many jobs wait.

    Args:
        site: whose connection and queues count.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._note = Script(site.connection, _NOTE)

    def note(self) -> None:
        """Look now.

        Raises:
            RedisError: the store is away or takes no writes.
        """
        minute = int(time.time()) // 60
        hour = minute // 60
        keys = [
            HISTORY_KEY_TEMPLATE.format('waiting-minutes', hour),
            HISTORY_KEY_TEMPLATE.format('waiting-hours', hour // 24),
            Queue.redis_queues_keys,
            *(queue.key for queue in self._site.queues[:_MOST_QUEUES]),
        ]
        arguments = [
            *(minute % 60, hour % 24, HISTORY_MINUTES_TTL, HISTORY_HOURS_TTL),
            *(_MOST_MINUTES, _MOST_HOURS, _MOST_QUEUES, HISTORY_LONGEST_NAME),
            Queue.redis_queue_namespace_prefix,
        ]
        self._note.run(keys, arguments)
