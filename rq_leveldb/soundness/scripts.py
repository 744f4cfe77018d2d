"""What is decided, and repaired if wanted, in one atomic step each.

Every script returns '' where nothing is wrong (any more), else a word for what is. ARGV[1] is `fix` to repair it. What
may be refused, since a key holds another type of value, comes before what is written.
"""

from __future__ import annotations

__all__ = ['ENTRY', 'JOB', 'LISTED', 'ORPHAN', 'REMAINS', 'WORKER']

# KEYS: job, where its status says it is, queue, intermediate queue, its executions, registry of started jobs,
#       ready registry, its dependencies, all queues, those that its rate limit has let through, those that wait for
#       that, all rate limits, this one's settings
# ARGV: mode, id, status, queue's name, now in seconds, job prefix, execution prefix, score in the registry of an ended
#       job, its time to live or '', id of a new execution, worker that the job names, key of its rate limit or '', its
#       concurrency, 1 if a dependency may have failed, dependencies as the job's own record has them...
JOB = """
local fix, id, status, now = ARGV[1] == 'fix', ARGV[2], ARGV[3], tonumber(ARGV[5])
local raw = redis.call('HMGET', KEYS[1], 'status', 'origin', 'worker_name', 'enqueue_at_front')
if raw[1] ~= status or raw[2] ~= ARGV[4] then return '' end
local function listed(key)
    return redis.call('LPOS', key, id, 'RANK', -1)
end
local function wait_for_slot()
    redis.call('ZADD', KEYS[11], now, id)
    redis.call('SADD', KEYS[12], ARGV[12])
    redis.call('HSETNX', KEYS[13], 'concurrency', ARGV[13])
end

if status == 'queued' then
    if listed(KEYS[3]) or listed(KEYS[4]) or redis.call('EXISTS', KEYS[5]) == 1 then return '' end
    if fix and ARGV[12] ~= '' and not redis.call('ZSCORE', KEYS[10], id) then
        wait_for_slot()
        redis.call('HSET', KEYS[1], 'status', 'rate_limited')
    elseif fix then
        redis.call(raw[4] == '1' and 'LPUSH' or 'RPUSH', KEYS[3], id)
        redis.call('SADD', KEYS[9], KEYS[3])
    end
    return 'nowhere'
end

if status == 'started' then
    local executions = redis.call('ZRANGE', KEYS[5], 0, -1)
    for _, execution in ipairs(executions) do
        if redis.call('ZSCORE', KEYS[6], id .. ':' .. execution) then return '' end
    end
    -- As RQ wrote it before executions had ids.
    if redis.call('ZSCORE', KEYS[6], id) then return '' end
    local cursor = '0'
    repeat
        local page = redis.call('ZSCAN', KEYS[6], cursor, 'MATCH', id .. ':*', 'COUNT', 1000)
        if #page[2] > 0 then return '' end
        cursor = page[1]
    until cursor == '0'
    if listed(KEYS[4]) then return '' end
    for _, execution in ipairs(executions) do
        local composite = id .. ':' .. execution
        if redis.call('EXISTS', ARGV[7] .. composite) == 1 then
            if fix then
                -- RQ keeps it there for a minute longer than among the started jobs.
                local due = tonumber(redis.call('ZSCORE', KEYS[5], execution)) - 60
                redis.call('ZADD', KEYS[6], math.max(due, now + 60), composite)
                redis.call('SADD', KEYS[9], KEYS[3])
            end
            return 'unregistered'
        end
    end
    if listed(KEYS[3]) then
        if fix then redis.call('HSET', KEYS[1], 'status', 'queued') end
        return 'waits'
    end
    if fix then
        if (raw[3] or '') ~= ARGV[11] then return '' end
        redis.call('ZADD', KEYS[6], now - 1, id .. ':' .. ARGV[10])
        redis.call('SADD', KEYS[9], KEYS[3])
    end
    return 'abandoned'
end

if status == 'deferred' then
    local wanted = redis.call('SMEMBERS', KEYS[8])
    if #wanted == 0 then
        for index = 15, #ARGV do wanted[#wanted + 1] = ARGV[index] end
    end
    local waits, forgotten = false, {}
    for _, dependency in ipairs(wanted) do
        local key = ARGV[6] .. dependency
        local other = redis.call('HGET', key, 'status')
        if other and other ~= 'finished' and not (other == 'failed' and ARGV[14] == '1') then
            waits = true
            if redis.call('SISMEMBER', key .. ':dependents', id) == 0 then
                forgotten[#forgotten + 1] = key .. ':dependents'
            end
        end
    end
    if not waits then
        if fix then
            redis.call('ZADD', KEYS[7], now, id)
            redis.call('ZREM', KEYS[2], id)
            redis.call('HSET', KEYS[1], 'status', 'ready_to_enqueue')
            redis.call('SADD', KEYS[9], KEYS[3])
        end
        return 'met'
    end
    local missing = not redis.call('ZSCORE', KEYS[2], id)
    if fix then
        if missing then
            redis.call('ZADD', KEYS[2], now, id)
            redis.call('SADD', KEYS[9], KEYS[3])
        end
        for _, key in ipairs(forgotten) do redis.call('SADD', key, id) end
    end
    return missing and 'nowhere' or #forgotten > 0 and 'forgotten' or ''
end

if status == 'finished' or status == 'failed' or status == 'stopped' then
    if redis.call('TTL', KEYS[1]) ~= -1 or redis.call('EXISTS', KEYS[5]) == 1 then return '' end
    local score = redis.call('ZSCORE', KEYS[2], id)
    if score and (score == 'inf' or tonumber(score) < 0 or tonumber(score) > now) then return '' end
    if fix then
        redis.call('ZADD', KEYS[2], ARGV[8], id)
        if ARGV[9] ~= '' then
            redis.call('EXPIRE', KEYS[1], ARGV[9])
            redis.call('EXPIRE', KEYS[1] .. ':dependents', ARGV[9])
            redis.call('EXPIRE', KEYS[8], ARGV[9])
        end
    end
    return 'kept'
end

if redis.call('ZSCORE', KEYS[2], id) then return '' end
if status == 'scheduled' and redis.call('EXISTS', KEYS[5]) == 1 then return '' end
if fix then
    if status == 'rate_limited' then wait_for_slot() else redis.call('ZADD', KEYS[2], now, id) end
    redis.call('SADD', KEYS[9], KEYS[3])
end
return 'nowhere'
"""

# KEYS: job, queue, registry or set, the job's executions, the queue's registry of failed jobs
# ARGV: mode, id, type of the second key, statuses that are right there as ',a,b,' or '' for any, status that a job
#       gets there, which a worker is going to run; '' for a registry that only lists jobs, every status that there is
ENTRY = """
local fix, id, is_list, is_run = ARGV[1] == 'fix', ARGV[2], ARGV[3] == 'list', ARGV[5] ~= ''
local word = ''
if redis.call('HEXISTS', KEYS[1], 'data') == 0 then
    word = 'jobless'
else
    local status = redis.call('HGET', KEYS[1], 'status')
    if status and not string.find(ARGV[6], ',' .. status .. ',', 1, true) then return '' end
    if status and ARGV[4] ~= '' and not string.find(ARGV[4], ',' .. status .. ',', 1, true) then
        if not is_run or status == 'canceled' then
            word = 'misplaced ' .. status
        elseif status == 'finished' or status == 'failed' or status == 'stopped' then
            word = 'ended ' .. status
        elseif status == 'started' and redis.call('EXISTS', KEYS[3]) == 0 then
            return ''
        else
            word = 'again ' .. status
        end
    elseif not is_list then
        return ''
    end
end
local found
if ARGV[3] == 'set' then
    if redis.call('SISMEMBER', KEYS[2], id) == 0 then return '' end
elseif not is_list then
    if not redis.call('ZSCORE', KEYS[2], id) then return '' end
elseif fix or word == '' then
    -- Otherwise whoever asks has seen that it is there: Redis looks for it in the whole queue.
    found = redis.call('LPOS', KEYS[2], id, 'COUNT', word == '' and 0 or 1)
    if #found == 0 or (word == '' and #found == 1) then return '' end
end
if word == '' then
    if fix then redis.call('LREM', KEYS[2], 1 - #found, id) end
    return 'twice'
end
if fix and string.sub(word, 1, 5) == 'ended' then
    redis.call('HSET', KEYS[1], 'status', ARGV[5])
    redis.call('PERSIST', KEYS[1])
    redis.pcall('ZREM', KEYS[4], id)
elseif is_list and fix then
    redis.call('LREM', KEYS[2], 0, id)
elseif fix then
    redis.call(ARGV[3] == 'set' and 'SREM' or 'ZREM', KEYS[2], id)
end
return word
"""

# KEYS: a key that belongs to a job, the job
# ARGV: mode
ORPHAN = """
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('TTL', KEYS[1]) ~= -1 then return '' end
if ARGV[1] == 'fix' then redis.call('UNLINK', KEYS[1]) end
return 'orphan'
"""

# KEYS: job, its executions
# ARGV: mode
REMAINS = """
if redis.call('HEXISTS', KEYS[1], 'data') == 1 or redis.call('TTL', KEYS[1]) ~= -1 then return '' end
if redis.call('EXISTS', KEYS[2]) == 1 then return '' end
if ARGV[1] == 'fix' then redis.call('DEL', KEYS[1]) end
return 'remains'
"""

# KEYS: all workers, the worker's record, its claims, its executions
# ARGV: mode, the worker as it stands among all
WORKER = """
if redis.call('SISMEMBER', KEYS[1], ARGV[2]) == 0 then return '' end
if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) > 0 then return '' end
if ARGV[1] == 'fix' then redis.call('SREM', KEYS[1], ARGV[2]) end
return 'gone'
"""

# KEYS: a set of names, a key that has to be named there
# ARGV: mode, its name
LISTED = """
if redis.call('SISMEMBER', KEYS[1], ARGV[2]) == 1 or redis.call('EXISTS', KEYS[2]) == 0 then return '' end
if ARGV[1] == 'fix' then redis.call('SADD', KEYS[1], ARGV[2]) end
return 'unlisted'
"""
