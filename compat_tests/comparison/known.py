"""Programs of cases/ whose replies may differ, each with its reason."""

from __future__ import annotations

MODEL = (8, 2)

# What a Redis older than the model cannot be asked (measured with 7.0). By a piece of the program: what changed since.
CHANGED: dict[str, str] = {
    'CLIENT SETINFO': 'CLIENT SETINFO is new',
    'CLIENT NO-TOUCH': 'CLIENT NO-TOUCH is new',
    'SCAN -1': 'a negative cursor was accepted',
    'SCAN h -1': 'a negative cursor was accepted',
    'OBJECT REFCOUNT': 'small integers were shared objects',
    'SORT s BY': 'another order of equal weights',
    'HGETDEL': 'HGETDEL is new',
    'set-max-listpack-entries': 'small sets were no listpacks',
    'NOVALUES': 'HSCAN NOVALUES is new',
    'LREM l -9223372036854775808': 'the smallest integer was accepted as a count',
    'RANK -9223372036854775808': 'the smallest integer was accepted as a rank',
    'BLPOP a inf': 'another error for an infinite time-out',
    'error({a=1})': 'it ends the server of 7.0',
    'EXPIRE a 200 XX GT': 'XX and GT together',
    '"SET","a",0.1': 'numbers of scripts had 17 digits',
    '"ZINCRBY","z",0.1': 'scores had 17 digits',
    'ZADD z inf a': 'scores had 17 digits',
    'ZADD z 0.1 a': 'scores had 17 digits',
    'ZADD z 3.14': 'scores had 17 digits',
    'ZINCRBY z 0.1 c': 'scores had 17 digits',
    'redis.log(99': 'another error text',
    'os.clock': 'scripts had no os',
    '"BLPOP","nope"': 'scripts could not call what blocks',
    'COMMAND GETKEYS PING': 'another error text',
    'COMMAND GETKEYSANDFLAGS': 'other flags, other errors',
    'WITHSCORE;': 'ZRANK WITHSCORE is new',
    'STREAMS x +': 'the id + of XREAD is new',
    'ENTRIESREAD 3': "another reckoning of a group's lag",
}

# What is not compared with the store. By a piece of the program: the reason. docs/differences.rst has them all.
OURS_ALONE: dict[str, str] = {
    'cmsgpack.': 'scripts have no cmsgpack',
    'struct.pack': 'scripts have no struct',
    'coroutine': 'scripts have no coroutines: the instruction limit does not reach into them',
    'big_number': 'scripts give no big numbers of RESP3',
    'r[i]=i end return #{unpack(r)}': 'unpack gives fewer values at once, so that no script overruns the C stack',
    'XREAD STREAMS x x': 'a map of RESP3 has the stream that was named twice once',
    'HELLO 3; PING': 'the protocol does not change in the middle of a transaction',
    'TRACKINGINFO': 'there is no client side caching',
}
