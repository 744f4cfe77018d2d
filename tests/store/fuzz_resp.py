"""Send nonsense to a store for some seconds, and measure how long a neighbour waits meanwhile.

Run as a program: ``python -m tests.store.fuzz_resp 600`` starts a store of its own, prints the seed, what was sent, the
store's memory, and the neighbour's median and worst time for a PING. It ends with 1 if the store died or met a fault of
its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory

# None that stops the store, and none whose work is without bound: a neighbour waits for those in Redis as well.
NAMES = b"""
    get set append getrange setrange incr incrbyfloat mget mset del exists expire ttl type rename copy object randomkey
    hset hget hgetall hdel hincrby hrandfield hscan rpush lpop lrange lset linsert lrem lpos lmove sadd srem smembers
    spop sinter sunionstore zadd zrange zrangestore zrank zincrby zpopmin zscan xadd xrange xread xgroup xreadgroup
    xack multi exec discard watch unwatch subscribe unsubscribe psubscribe punsubscribe publish pubsub eval evalsha
    script ping echo select hello reset client config command info slowlog memory time scan sort blpop bzpopmin
    xautoclaim auth
""".split()
PLAIN = b"""
    0 1 -1 9223372036854775807 -9223372036854775808 1e400 nan (1 + - * $ > 0-1 key list hash set zset stream EX PX COUNT
    MATCH STREAMS BLOCK GET LIMIT WITHSCORES kill
""".split()
WORDS = [*PLAIN, b'', b'return 1', b'\r\n', b'\x00\xff', b'a' * 300]


def command(random: random.Random) -> bytes:
    name = random.choice(NAMES)
    words = [name, *(random.choice(WORDS) for _ in range(int(random.expovariate(0.3))))]
    if random.random() < 0.1:
        return b' '.join(words).replace(b'\r\n', b'') + b'\r\n'
    return b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%b\r\n' % (len(word), word) for word in words)


def damaged(random: random.Random, data: bytes) -> bytes:
    array = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(array)) if array else 0
        how = random.random()
        if how < 0.3 and array:
            array[at] = random.randrange(256)
        elif how < 0.5:
            del array[at : at + random.randint(1, 8)]
        elif how < 0.7:
            array[at:at] = random.choice(
                [b'\r\n', b'*', b'$', b'-1', b'2147483647', b'99999999999999999999', b'"', b'\x00']
            )
        elif how < 0.8:
            array[at:] = b''
        else:
            array[at:at] = bytes(random.randrange(256) for _ in range(random.randint(1, 50)))
    return bytes(array)


def fuzz(path: str, seed: int, seconds: float, sent: Synchronized[int]) -> None:
    """Send until the time is over: whole commands, damaged ones, cut ones, with and without reading the replies."""
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(0.05)
            sock.connect(path)
            try:
                for _ in range(chance.randint(1, 200)):
                    data = b''.join(command(chance) for _ in range(chance.randint(1, 20)))
                    if chance.random() < 0.2:
                        data = damaged(chance, data)
                    cut = chance.randrange(len(data) + 1)
                    for piece in (data[:cut], data[cut:]) if chance.random() < 0.3 else (data,):
                        sock.sendall(piece)
                    sent.value += len(data)
                    if chance.random() < 0.7:
                        while len(sock.recv(65536)) == 65536:
                            pass
            except OSError:
                pass  # disconnected, as it should be, or a command that waits


def main(argv: list[str]) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('seconds', type=float, nargs='?', default=600.0)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args(argv)
    context = multiprocessing.get_context('spawn')
    with tempfile.TemporaryDirectory(prefix='fuzz-') as place:
        directory = DataDirectory(Path(place) / 'store')
        with Redis.from_url(f'leveldb://{directory.path}') as neighbour:
            pid = int(neighbour.info('server')['process_id'])
            sent = context.Value('q', 0)
            fuzzers = [
                context.Process(target=fuzz, args=(str(directory.socket), options.seed + number, options.seconds, sent))
                for number in range(2)
            ]
            for fuzzer in fuzzers:
                fuzzer.start()
            waits = []
            while any(fuzzer.is_alive() for fuzzer in fuzzers):
                started = time.perf_counter()
                neighbour.ping()
                waits.append(time.perf_counter() - started)
                time.sleep(0.002)
            lived = int(neighbour.info('server')['process_id']) == pid
            memory = int(neighbour.info('memory')['used_memory_rss']) >> 20
        autostart.stop(directory)
        log = directory.log.read_text(errors='replace')
    faults = log.count('internal error')
    waits.sort()
    print(f'seed {options.seed}, {options.seconds:g} s, {sent.value >> 20} MiB sent, memory {memory} MiB')
    print(
        f'neighbour: {len(waits)} PINGs, median {waits[len(waits) // 2] * 1e3:.2f} ms, worst {waits[-1] * 1e3:.0f} ms'
    )
    print(f'the store {"lived" if lived else "DIED"}, {faults} internal errors')
    if faults:
        print(log[-4000:])
    return 0 if lived and not faults else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
