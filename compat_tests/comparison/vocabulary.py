"""What random programs are made of: pools of keys and values, and the commands of each group.

A new command is a new line here. Left out on purpose: what blocks (test_blocking.py), what expires within a test
(test_expiry.py), what depends on chance or the clock (SPOP of some, XADD *), and what acts on the server itself.
"""

from __future__ import annotations

_WORDS: dict[str, str] = {
    'string': 's1 s2 s3',
    'hash': 'h1 h2',
    'list': 'l1 l2',
    'set': 't1 t2 t3',
    'zset': 'z1 z2 z3',
    'stream': 'x1 x2',
    'field': 'a b c 1',
    'member': 'a b c d e 1 2 3 10',
    'number': '0 1 -1 5 10 -7 100 9223372036854775807 -9223372036854775808',
    'float': '0 1 1.5 -0.5 3.0 1e3 0.1 -2.25',
    'score': '0 -0 1 1 2 2 3 1.5 -1 inf -inf 1e10 0.1 100',
    'index': '0 1 2 -1 -2 3 -3 100 -100',
    'count': '0 1 2 3 100',
    'signed': '0 1 2 -1 -2 100 -100',
    'offset': '0 1 2 5 20',
    # Not for GT: whether as many seconds ahead are later than before depends on the millisecond.
    'seconds': '1000 5000 100000',
    'milliseconds': '1000000 5000000',
    'moment': '4102444800 4102444801',
    'moment_ms': '4102444800000 4102444801500',
    'past': '0 -1 -100',
    'low': '-inf (1 0 1 (0 2 -1',
    'high': '+inf (3 3 2 (2 1 100',
    'lexlow': '- [a (a [b ( [',
    'lexhigh': '+ [c (c [b [zz',
    'id': '1-1 1-2 2-1 2-2 3-0 5-5 7-1 9-9',
    'idlow': '- 0 1-1 (1-1 2 1 (2-1',
    'idhigh': '+ 5 3-0 (5-5 2 9-9',
    'pattern': '* s* ?1 [hl]* *2 x[^1] nope',
    'database': '0 0 0 1',
    'group': 'g1 g2',
    'consumer': 'c1 c2',
    'encoded': 'string hash list set zset stream',
}

POOLS: dict[str, list[bytes]] = {name: [word.encode() for word in words.split()] for name, words in _WORDS.items()}
POOLS['value'] = [b'a', b'b', b'hello', b'10', b'-5', b'3.5', b'', b'\x00\xff\r\n', b'x' * 100, b'9223372036854775807']
POOLS['field'] += [b'', b'\x00f']
POOLS['member'] += [b'', b'\xffm']
POOLS['new'] = [b'>']
POOLS['forward'] = [
    b'return redis.call(unpack(ARGV))',
    b'return redis.call(unpack(ARGV))',
    b'return redis.pcall(unpack(ARGV))',
]
POOLS['append'] = [b"return redis.call('RPUSH', KEYS[1], unpack(redis.call('LRANGE', KEYS[2], 0, -1)))"]
POOLS['serialize'] = [
    b"local v = redis.call('DUMP', KEYS[1]) return v and redis.call('RESTORE', KEYS[2], 0, v, 'REPLACE')",
    b"local v = redis.call('DUMP', KEYS[1]) return v and redis.pcall('RESTORE', KEYS[2], 100000, v)",
]
POOLS['swap'] = [
    b"local v = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[2], v or 'none') return {v, #ARGV, ARGV[1]}",
    b"redis.call('SET', KEYS[1], #KEYS[2]) return {KEYS, ARGV, redis.call('MGET', unpack(KEYS))}",
]
# Redis keeps what a script wrote before it failed; so must we.
POOLS['fail'] = [
    b"redis.call('SET', KEYS[1], ARGV[1]) return redis.call('HGET', KEYS[1], 'a')",
    b"redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], ARGV[1]) error('no more')",
    b"redis.call('RENAME', KEYS[1], KEYS[1]) return redis.error_reply('MINE ' .. #ARGV[1])",
]
POOLS['resp3'] = [b'redis.setresp(3) return redis.call(unpack(ARGV))']
POOLS['convert'] = [
    b'return {1, 2.7, -2.7, "x", true, {ok="fine"}, {1, {2}}, false, 9}',
    b'return tonumber(ARGV[1])',
    b'return ARGV[1] == KEYS[1]',
    b'return {ARGV[1] .. "x", #ARGV[1], type(tonumber(ARGV[1]))}',
    b'return redis.status_reply(#ARGV[1])',
    b'return {map={a=1}, double=2}',
    b'return {double=tonumber(ARGV[1]) or 0.5}',
    b'return {1, nil, 3}',
    b'return redis.sha1hex(ARGV[1])',
]
POOLS['key'] = [key for kind in ('string', 'hash', 'list', 'set', 'zset', 'stream') for key in POOLS[kind]]
# What takes an argument's place now and then: no number that would be a short expiry or a large allocation.
ODDITIES = [
    *(
        b'',
        b'abc',
        b'0',
        b'-1',
        b'1.5',
        b'nan',
        b'99999999999999999999',
        b'9223372036854775807',
        b'(',
        b'-',
        b'+',
    ),
    *(b'FOO', b'NX', b'WITHSCORES', b'LIMIT', b'COUNT', b'~', b'-inf', b'1-1', b'*'),
]

GROUPS: dict[str, str] = {
    'string': """
        SET {string} {value}
        SET {string} {number}
        SET {string} {value} [NX|XX] [GET] [EX {seconds}|PX {milliseconds}|EXAT {moment}|PXAT {moment_ms}|KEEPTTL]
        GET {string}
        GETSET {string} {value}
        GETDEL {string}
        GETEX {string} [EX {seconds}|PX {milliseconds}|EXAT {moment}|PERSIST]
        SETNX {string} {value}
        SETEX {string} {seconds} {value}
        PSETEX {string} {milliseconds} {value}
        MGET <{key}>
        MSET <{string} {value}>
        MSETNX <{string} {value}>
        APPEND {string} {value}
        STRLEN {string}
        GETRANGE {string} {index} {index}
        SETRANGE {string} {offset} {value}
        INCR {string}
        DECR {string}
        INCRBY {string} {number}
        DECRBY {string} {number}
        INCRBYFLOAT {string} {float}
        LCS {string} {string} [LEN|IDX]
    """,
    'hash': """
        HSET {hash} <{field} {value}>
        HSET {hash} {field} {number}
        HSETNX {hash} {field} {value}
        HMSET {hash} <{field} {value}>
        HGET {hash} {field}
        HMGET {hash} <{field}>
        HGETALL {hash}
        HDEL {hash} <{field}>
        HLEN {hash}
        HEXISTS {hash} {field}
        HKEYS {hash}
        HVALS {hash}
        HSTRLEN {hash} {field}
        HINCRBY {hash} {field} {number}
        HINCRBYFLOAT {hash} {field} {float}
        HRANDFIELD {hash} [{signed}|{signed} WITHVALUES]
        HSCAN {hash} 0 [MATCH {pattern}] [COUNT 100] [NOVALUES]
    """,
    'list': """
        (RPUSH|LPUSH) {list} <{member}>
        (RPUSH|LPUSH) {list} <{member}>
        (RPUSHX|LPUSHX) {list} <{member}>
        (LPOP|RPOP) {list} [{count}]
        LLEN {list}
        LRANGE {list} {index} {index}
        LINDEX {list} {index}
        LSET {list} {index} {member}
        LTRIM {list} {index} {index}
        LREM {list} {signed} {member}
        LINSERT {list} (BEFORE|AFTER) {member} {member}
        LPOS {list} {member} [RANK {signed}] [COUNT {count}] [MAXLEN {count}]
        LMOVE {list} {list} (LEFT|RIGHT) (LEFT|RIGHT)
        RPOPLPUSH {list} {list}
        LMPOP 2 {list} {list} (LEFT|RIGHT) [COUNT {count}]
    """,
    'set': """
        SADD {set} <{member}>
        SADD {set} <{member}>
        SREM {set} <{member}>
        SCARD {set}
        SMEMBERS {set}
        SISMEMBER {set} {member}
        SMISMEMBER {set} <{member}>
        SMOVE {set} {set} {member}
        SPOP {set} 100
        SPOP {set} 0
        SRANDMEMBER {set} [{signed}]
        (SINTER|SUNION|SDIFF) <{set}>
        (SINTERSTORE|SUNIONSTORE|SDIFFSTORE) {set} <{set}>
        SINTERCARD 2 {set} {set} [LIMIT {count}]
        SSCAN {set} 0 [MATCH {pattern}] [COUNT 100]
    """,
    'sorted_set': """
        ZADD {zset} <{score} {member}>
        ZADD {zset} <{score} {member}>
        ZADD {zset} [NX|XX|XX GT|XX LT|GT|LT] [CH] [INCR] {score} {member}
        ZREM {zset} <{member}>
        ZINCRBY {zset} {score} {member}
        ZCARD {zset}
        ZSCORE {zset} {member}
        ZMSCORE {zset} <{member}>
        (ZRANK|ZREVRANK) {zset} {member} [WITHSCORE]
        ZCOUNT {zset} {low} {high}
        ZLEXCOUNT {zset} {lexlow} {lexhigh}
        ZRANGE {zset} {index} {index} [REV] [WITHSCORES]
        ZRANGE {zset} {low} {high} BYSCORE [LIMIT {offset} {signed}] [WITHSCORES]
        ZRANGE {zset} {high} {low} BYSCORE REV [LIMIT {offset} {signed}] [WITHSCORES]
        ZRANGE {zset} {lexlow} {lexhigh} BYLEX [LIMIT {offset} {signed}]
        ZRANGE {zset} {lexhigh} {lexlow} BYLEX REV
        ZRANGESTORE {zset} {zset} {index} {index} [REV]
        ZRANGESTORE {zset} {zset} {low} {high} BYSCORE [LIMIT {offset} {signed}]
        ZREVRANGE {zset} {index} {index} [WITHSCORES]
        ZRANGEBYSCORE {zset} {low} {high} [WITHSCORES] [LIMIT {offset} {signed}]
        ZREVRANGEBYSCORE {zset} {high} {low} [WITHSCORES] [LIMIT {offset} {signed}]
        ZRANGEBYLEX {zset} {lexlow} {lexhigh} [LIMIT {offset} {signed}]
        ZREVRANGEBYLEX {zset} {lexhigh} {lexlow} [LIMIT {offset} {signed}]
        ZREMRANGEBYRANK {zset} {index} {index}
        ZREMRANGEBYSCORE {zset} {low} {high}
        ZREMRANGEBYLEX {zset} {lexlow} {lexhigh}
        (ZPOPMIN|ZPOPMAX) {zset} [{count}]
        ZMPOP 2 {zset} {zset} (MIN|MAX) [COUNT {count}]
        (ZUNION|ZINTER) 2 {zset} {zset} [WEIGHTS {float} {float}] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        (ZUNIONSTORE|ZINTERSTORE) {zset} 2 {zset} ({set}|{zset}) [WEIGHTS {float} {float}] [AGGREGATE (SUM|MIN|MAX)]
        ZDIFF 2 {zset} {zset} [WITHSCORES]
        ZDIFFSTORE {zset} 2 {zset} {zset}
        ZUNIONSTORE {zset} 2 {zset} {set}
        ZINTERCARD 2 {zset} {zset} [LIMIT {count}]
        ZRANDMEMBER {zset} [{signed}|{signed} WITHSCORES]
        ZSCAN {zset} 0 [MATCH {pattern}] [COUNT 100]
    """,
    'stream': """
        XADD {stream} {id} <{field} {value}>
        XADD {stream} {id} <{field} {value}>
        XADD {stream} [NOMKSTREAM] [MAXLEN {count}|MINID {id}] {id} <{field} {value}>
        XLEN {stream}
        XRANGE {stream} {idlow} {idhigh} [COUNT {signed}]
        XREVRANGE {stream} {idhigh} {idlow} [COUNT {signed}]
        XREAD [COUNT {signed}] STREAMS x1 x2 {id} {id}
        XREAD [COUNT {signed}] STREAMS {stream} (0|$|+)
        XDEL {stream} <{id}>
        XTRIM {stream} (MAXLEN|MINID) {count}
        XSETID {stream} {id}
        XGROUP CREATE {stream} {group} (0|$|{id}) [MKSTREAM]
        XGROUP CREATE {stream} {group} 0 MKSTREAM
        XGROUP SETID {stream} {group} (0|$|{id})
        XGROUP DESTROY {stream} {group}
        XGROUP (CREATECONSUMER|DELCONSUMER) {stream} {group} {consumer}
        XREADGROUP GROUP {group} {consumer} [COUNT {count}] [NOACK] STREAMS {stream} {new}
        XREADGROUP GROUP {group} {consumer} [COUNT {count}] STREAMS {stream} {new}
        XREADGROUP GROUP {group} {consumer} STREAMS {stream} (0|{id})
        XACK {stream} {group} <{id}>
        XPENDING {stream} {group}
        XPENDING {stream} {group} {idlow} {idhigh} {count} [{consumer}]
        XCLAIM {stream} {group} {consumer} 0 <{id}> [JUSTID] [FORCE]
        XAUTOCLAIM {stream} {group} {consumer} 0 (0|{id}) [COUNT {count}] [JUSTID]
        XINFO (STREAM|GROUPS) {stream}
        XINFO CONSUMERS {stream} {group}
    """,
    'generic': """
        DEL <{key}>
        UNLINK <{key}>
        EXISTS <{key}>
        TOUCH <{key}>
        TYPE {key}
        EXPIRE {key} {seconds} [NX|XX|LT]
        PEXPIRE {key} {milliseconds} [NX|XX|LT]
        EXPIREAT {key} {moment} [NX|XX|GT|LT]
        PEXPIREAT {key} {moment_ms}
        (EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT) {key} {past}
        PERSIST {key}
        (TTL|PTTL|EXPIRETIME|PEXPIRETIME) {key}
        RENAME {key} {key}
        RENAMENX {key} {key}
        COPY {key} {key} [DB {database}] [REPLACE]
        MOVE {key} {database}
        DUMP {key}
        RESTORE {key} {milliseconds} {value} [REPLACE] [ABSTTL]
        KEYS {pattern}
        SCAN 0 [MATCH {pattern}] [COUNT 1000] [TYPE {encoded}]
        DBSIZE
        RANDOMKEY
        OBJECT (ENCODING|REFCOUNT) {key}
        (OBJECT|XGROUP|XINFO|CLIENT|CONFIG) (HELP|FOO)
        COMMAND (GETKEYS|GETKEYSANDFLAGS) (GET {string}|SET {string} {value} [GET]|MSET <{string} {value}>)
        COMMAND (GETKEYS|GETKEYSANDFLAGS) (SORT {list} [STORE {list}]|XREAD STREAMS x1 {stream} 0 0|BLPOP {list} 0)
        COMMAND (GETKEYS|GETKEYSANDFLAGS) (XGROUP DESTROY {stream} {group}|OBJECT ENCODING {key}|LMOVE l1 l2 LEFT LEFT)
        FLUSHDB
        SELECT {database}
        SWAPDB 0 1
    """,
    'transactions': """
        MULTI
        MULTI
        EXEC
        EXEC
        DISCARD
        WATCH <{key}>
        UNWATCH
    """,
    'scripting': """
        EVAL {forward} 0 SET {string} {value}
        EVAL {forward} 0 GET {string}
        EVAL {forward} 0 INCR {string}
        EVAL {forward} 0 HGETALL {hash}
        EVAL {forward} 0 HMGET {hash} <{field}>
        EVAL {forward} 0 LRANGE {list} {index} {index}
        EVAL {forward} 0 LPOP {list} [{count}]
        EVAL {forward} 0 SMEMBERS {set}
        EVAL {forward} 0 ZRANGE {zset} {index} {index} WITHSCORES
        EVAL {forward} 0 ZSCORE {zset} {member}
        EVAL {forward} 0 ZPOPMIN {zset} [{count}]
        EVAL {forward} 0 XRANGE {stream} {idlow} {idhigh}
        EVAL {forward} 0 INCRBY {string} {number}
        EVAL {forward} 0 (RENAME|COPY) {key} {key}
        EVAL {append} 2 {list} {list}
        EVAL {serialize} 2 {key} {key}
        EVAL {swap} 2 {string} {string} <{value}>
        EVAL {fail} 1 {key} {value}
        EVAL {resp3} 0 (HGETALL {hash}|SMEMBERS {set}|ZSCORE {zset} {member}|GET {string})
        EVAL {convert} 0 <{value}>
        EVAL {convert} 1 {key} {number}
    """,
}
