"""Every command's options, mechanically.

Each option stands alone, twice, in pairs, without its value and with bad values. Every argument is replaced by bad
ones, left out, and followed by one too many; and the key is missing or of another type.

A line of the table is a command as it is right, then ``|``, then its options, separated by ``;``. Keys are named after
what they hold (`KEYS`).
"""

from __future__ import annotations

from collections.abc import Iterator

Command = tuple[bytes, ...]

SETUP: list[list[object]] = [
    ['FLUSHALL'],
    ['SET', 'string', '10'],
    ['HSET', 'hash', 'a', 1, 'b', 2],
    ['RPUSH', 'list', 1, 2, 3],
    ['SADD', 'set', 1, 2, 3],
    ['ZADD', 'zset', 1, 'a', 2, 'b', 3, 'c'],
    ['XADD', 'stream', '1-1', 'a', 'b'],
    ['XADD', 'stream', '2-1', 'a', 'b'],
    ['XGROUP', 'CREATE', 'stream', 'g', 0],
]
"""What there is before each command."""

KEYS = (b'string', b'hash', b'list', b'set', b'zset', b'stream')

BAD = (
    *(b'', b'abc', b'-1', b'0', b'1.5', b'nan', b'inf', b'-inf', b'0x1', b' 1', b'+1', b'01', b'1e400', b'(', b'-'),
    *(b'9223372036854775807', b'-9223372036854775808', b'9223372036854775808', b'18446744073709551616', b'FOO'),
)
"""What takes the place of an argument."""

TABLE = """
SET string v | NX; XX; GET; KEEPTTL; EX 100; PX 100000; EXAT 4102444800; PXAT 4102444800000
GETEX string | EX 100; PX 100000; EXAT 4102444800; PXAT 4102444800000; PERSIST
SETEX string 100 v
PSETEX string 100000 v
GETRANGE string 0 1
SETRANGE string 1 x
INCRBY string 1
DECRBY string 1
INCRBYFLOAT string 1
LCS string string | LEN; IDX; MINMATCHLEN 1; WITHMATCHLEN
HINCRBY hash a 1
HINCRBYFLOAT hash a 1
HRANDFIELD hash 0 | WITHVALUES
HSCAN hash 0 | MATCH a; COUNT 10; NOVALUES
HGETDEL hash FIELDS 1 a
HMGET hash a
LPOP list 1
LRANGE list 0 1
LINDEX list 0
LSET list 0 x
LTRIM list 0 1
LREM list 0 x
LINSERT list BEFORE 1 x
LPOS list 1 | RANK 1; COUNT 1; MAXLEN 1
LMOVE list list LEFT RIGHT
BLMOVE list list LEFT RIGHT 0.01
LMPOP 1 list LEFT | COUNT 1
BLMPOP 0.01 1 list LEFT | COUNT 1
BLPOP list 0.01
SPOP set 0
SRANDMEMBER set 0
SINTERCARD 1 set | LIMIT 1
SSCAN set 0 | MATCH a; COUNT 10
SMOVE set set 1
ZADD zset 1 a | NX; XX; GT; LT; CH; INCR
ZINCRBY zset 1 a
ZRANGE zset 0 1 | REV; BYSCORE; BYLEX; LIMIT 0 1; WITHSCORES
ZRANGESTORE new zset 0 1 | REV; BYSCORE; BYLEX; LIMIT 0 1; WITHSCORES
ZRANGEBYSCORE zset 0 1 | LIMIT 0 1; WITHSCORES
ZREVRANGEBYSCORE zset 1 0 | LIMIT 0 1; WITHSCORES
ZRANGEBYLEX zset - + | LIMIT 0 1; WITHSCORES
ZREVRANGE zset 0 1 | WITHSCORES
ZCOUNT zset 0 1
ZLEXCOUNT zset - +
ZREMRANGEBYRANK zset 0 1
ZREMRANGEBYSCORE zset 0 1
ZREMRANGEBYLEX zset - +
ZRANK zset a | WITHSCORE
ZPOPMIN zset 1
BZPOPMIN zset 0.01
ZMPOP 1 zset MIN | COUNT 1
BZMPOP 0.01 1 zset MIN | COUNT 1
ZUNION 2 zset set | WEIGHTS 1 2; AGGREGATE SUM; WITHSCORES
ZINTER 2 zset set | WEIGHTS 1 2; AGGREGATE MIN; WITHSCORES
ZUNIONSTORE new 2 zset set | WEIGHTS 1 2; AGGREGATE MAX; WITHSCORES
ZDIFF 1 zset | WITHSCORES; WEIGHTS 1
ZINTERCARD 1 zset | LIMIT 1
ZRANDMEMBER zset 0 | WITHSCORES
ZSCAN zset 0 | MATCH a; COUNT 10
XADD stream NOMKSTREAM 9-9 a b
XADD stream MAXLEN 1 9-9 a b
XADD stream MAXLEN ~ 1 LIMIT 1 9-9 a b
XADD stream MINID 1-1 9-9 a b
XADD stream 9-9 a b
XTRIM stream MAXLEN 1 | LIMIT 1; MINID 1
XTRIM stream MAXLEN ~ 1 | LIMIT 1; LIMIT 0
XTRIM stream MINID 1 | LIMIT 1; MAXLEN 1
XRANGE stream - + | COUNT 1
XREVRANGE stream + - | COUNT 1
XDEL stream 1-1
XSETID stream 9-9 | ENTRIESADDED 9; MAXDELETEDID 1-1
XREAD COUNT 1 STREAMS stream 0
XREAD BLOCK 1 STREAMS stream 0
XREAD STREAMS stream 0
XREADGROUP GROUP g c COUNT 1 STREAMS stream >
XREADGROUP GROUP g c NOACK STREAMS stream 0
XGROUP CREATE stream new 0 | MKSTREAM; ENTRIESREAD 1
XGROUP SETID stream g 0 | ENTRIESREAD 1; MKSTREAM
XGROUP DESTROY stream g
XGROUP CREATECONSUMER stream g c
XGROUP DELCONSUMER stream g c
XACK stream g 1-1
XPENDING stream g - + 1 c
XPENDING stream g IDLE 0 - + 1
XCLAIM stream g c 0 1-1 | IDLE 1; TIME 1; RETRYCOUNT 1; FORCE; JUSTID; LASTID 1-1
XAUTOCLAIM stream g c 0 0 | COUNT 1; JUSTID
XINFO STREAM stream
XINFO STREAM stream FULL | COUNT 1
XINFO GROUPS stream
XINFO CONSUMERS stream g
EXPIRE string 100 | NX; XX; GT; LT
PEXPIRE string 100000 | NX; XX; GT; LT
EXPIREAT string 4102444800 | NX; XX; GT; LT
COPY string new | DB 1; REPLACE
MOVE string 1
DUMP nope
RESTORE new 0 bytes | REPLACE; ABSTTL; IDLETIME 1; FREQ 1
SCAN 0 COUNT 100 | MATCH a; COUNT 100; TYPE string
COMMAND LIST FILTERBY MODULE foo
COMMAND LIST FILTERBY PATTERN get
COMMAND LIST FILTERBY ACLCAT nope
COMMAND INFO get
COMMAND DOCS nope
COMMAND GETKEYS SET string v | GET; EX 1
COMMAND GETKEYSANDFLAGS SORT list | STORE a; LIMIT 0 1; BY a; GET a
COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 2 zset set | WEIGHTS 1 2
COMMAND GETKEYSANDFLAGS XREAD STREAMS stream 0
COMMAND GETKEYS EVAL x 1 list
SORT list | BY nosort; LIMIT 0 1; GET #; ASC; DESC; ALPHA; STORE new
SORT_RO list | BY nosort; LIMIT 0 1; GET #; ASC; DESC; ALPHA
OBJECT REFCOUNT string
SELECT 0
SWAPDB 0 1
EVAL "return 1" 1 string
PUBSUB NUMPAT
PUBSUB SHARDNUMSUB a
PUBSUB SHARDCHANNELS a
SPUBLISH a b
PUBSUB NUMSUB a
PUBSUB CHANNELS a
CLIENT KILL MAXAGE 100000 | SKIPME yes; TYPE normal; ID 99999; USER default
CLIENT LIST ID 99999
CLIENT UNBLOCK 99999 TIMEOUT
CLIENT SETNAME a
CLIENT SETINFO lib-name a
CONFIG SET slowlog-max-len 128
CONFIG SET timeout 0 | timeout 0
CONFIG GET nothing
CONFIG RESETSTAT
COMMAND COUNT
SLOWLOG GET 0
LATENCY HISTORY command
LATENCY RESET command
LATENCY GRAPH command
MODULE LIST
ROLE
SLOWLOG LEN
MEMORY USAGE nokey | SAMPLES 1
MEMORY STATS
MEMORY PURGE
WAIT 0 0
WAITAOF 0 0 0
FLUSHDB | ASYNC; SYNC
SCRIPT EXISTS a
SCRIPT FLUSH | ASYNC; SYNC
AUTH default x
"""


def _words(text: str) -> list[bytes]:
    words = text.encode().split()
    if b'"return' in words:
        at = words.index(b'"return')
        words[at : at + 2] = [b'return 1']
    return words


def lines() -> list[str]:
    """Return the table's lines."""
    return [line for line in TABLE.splitlines() if line]


def variants(line: str) -> Iterator[Command]:
    """Yield what is asked of the command of a line."""
    text, _, rest = line.partition('|')
    base = _words(text)
    options = [option.split() for option in rest.encode().split(b';') if option.split()]
    for words in _forms(base, options):
        yield tuple(words)
        for key in KEYS:
            if key in words[1:]:
                at = words.index(key, 1)
                for other in (b'nokey', b'list' if key != b'list' else b'string'):
                    yield (*words[:at], other, *words[at + 1 :])


def _forms(base: list[bytes], options: list[list[bytes]]) -> Iterator[list[bytes]]:
    yield base
    yield base[:-1]
    yield [*base, b'FOO']
    yield [*base, b'1']
    for at in range(1, len(base)):
        for bad in BAD:
            yield [*base[:at], bad, *base[at + 1 :]]
    for option in options:
        yield [*base, *option]
        yield [*base, option[0].lower(), *option[1:], b'FOO']
        for end in range(1, len(option)):
            yield [*base, *option[:end]]
            for bad in BAD:
                yield [*base, *option[:end], bad, *option[end + 1 :]]
        for other in options:
            yield [*base, *option, *other]
