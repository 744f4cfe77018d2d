"""Scripts: the same replies as Redis, and no way to harm the store or other scripts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import hiredis
import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.store.replies import OK, Reply, ReplyError, Status
from rq_leveldb.store.script_time import ScriptAborted
from rq_leveldb.store.scripting import Limits, Sandbox
from tests.places import ROOT

HERE = Path(__file__).parent


def run(sandbox: Sandbox, source: str, *arguments: bytes, reply: Reply = OK) -> Reply:
    return sandbox.run(sandbox.load(source.encode()), [], list(arguments), lambda argv, resp3: reply)


def call_nothing(argv: list[bytes], resp3: bool) -> Reply:
    return OK


def late(seconds: float) -> ReplyError | None:
    return ScriptAborted('ERR out of time') if seconds > 0.05 else None


def raw_replies(directory: Path, protocol: int, commands: list[list[str]]) -> list[bytes]:
    """Send the commands one by one.

    Returns:
        The bytes that the store answers to each.
    """
    replies = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(directory / 'store.sock'))
        for command in [['HELLO', str(protocol)], ['FLUSHALL'], ['SCRIPT', 'FLUSH'], *commands]:
            arguments = [argument.encode('latin-1') for argument in command]
            request = b'*%d\r\n' % len(arguments)
            request += b''.join(b'$%d\r\n%b\r\n' % (len(argument), argument) for argument in arguments)
            sock.sendall(request)
            answer = b''
            reader = hiredis.Reader(notEnoughData=...)
            while reader.gets() is ...:
                received = sock.recv(65536)
                assert received, f'disconnected by {command}'
                answer += received
                reader.feed(received)
            replies.append(answer)
    return replies[3:]


@pytest.mark.parametrize('protocol', [2, 3])
def test_replies_are_those_of_redis(redis: Redis, store_dir: Path, protocol: int) -> None:
    """The file holds what Redis 8.2.3 answered, on an empty server and in this order."""
    redis.ping()
    records = json.loads((HERE / 'scripts_redis_8_2.json').read_text())
    commands = [record['command'] for record in records]
    wanted = [record.get(f'resp{protocol}', record.get('reply')).encode('latin-1') for record in records]
    found = raw_replies(store_dir, protocol, commands)
    differences = [row for row in zip(commands, wanted, found, strict=True) if row[1] != row[2]]
    assert not differences


def test_no_script_harms_the_process_or_the_scripts_after_it() -> None:
    """Each of the hostile scripts is run in one process of its own, which checks a harmless one after each."""
    program = [sys.executable, '-m', 'tests.store.hostile_scripts']
    done = subprocess.run(
        program,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == 'survived'


def test_a_limit_passes_every_pcall() -> None:
    sandbox = Sandbox()
    loop = sandbox.load(b'while true do pcall(function() while true do end end) end')
    with pytest.raises(ScriptAborted, match=r'^ERR out of time. script: [0-9a-f]{40}$'):
        sandbox.run(loop, [], [], call_nothing, look=late)
    with pytest.raises(ScriptAborted, match='Script killed: it needed more than 64 MiB of memory'):
        run(sandbox, "local s = 'x' while true do pcall(function() s = s .. s end) end")
    assert run(sandbox, 'return 1') == 1


@pytest.mark.parametrize(
    'source',
    [
        'while true do end',
        "while true do redis.call('ping') end",
        'local t = {} for i = 1, 300000 do t[i] = i * 7919 % 1000003 end while true do table.sort(t) end',
        'local t = {} for i = 1, 300000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end',
        "local s = ('x'):rep(1000000) while true do s:gsub('x', 'y') end",
    ],
)
def test_whoever_runs_a_script_is_asked_at_intervals_and_may_end_it(source: str) -> None:
    """With its name and its place, as Redis says it of a script that was killed."""
    sandbox = Sandbox()
    sha = sandbox.load(b'\n' + source.encode())
    asked: list[float] = []

    def look(seconds: float) -> ReplyError | None:
        asked.append(seconds)
        return ReplyError('ERR enough') if len(asked) == 3 else None

    reply = sandbox.run(sha, [], [], call_nothing, look=look)
    assert isinstance(reply, ReplyError)
    assert reply.text == f'ERR enough script: {sha.decode()}, on @user_script:2.'
    assert asked == sorted(asked)


def test_arguments_may_be_larger_than_the_memory_of_a_script() -> None:
    sandbox = Sandbox(limits=Limits(memory=1024 * 1024))
    large = b'x' * 20_000_000
    assert run(sandbox, 'return #ARGV[1]', large) == len(large)
    assert run(sandbox, 'return ARGV[1]', large) == large
    assert run(sandbox, 'return #ARGV', *[b'x'] * 100_000) == 100_000
    with pytest.raises(ScriptAborted):
        run(sandbox, 'return ARGV[1] .. ARGV[1]', large)


def test_a_reply_that_does_not_fit_ends_the_script() -> None:
    sandbox = Sandbox(limits=Limits(memory=1024 * 1024))
    with pytest.raises(ScriptAborted):
        run(sandbox, "return pcall(redis.call, 'get')", reply=b'x' * 3_000_000)
    with pytest.raises(ScriptAborted):
        run(sandbox, "return redis.pcall('lrange')", reply=[b'x' * 100] * 30_000)
    assert run(sandbox, "return #redis.call('get')", reply=b'x' * 100_000) == 100_000


def test_lists_in_a_reply_arrive_whole_whatever_their_length() -> None:
    """They leave Lua in pieces, and those of strings and numbers alone otherwise than the others."""
    sandbox = Sandbox()
    nested = """
        local lists = {}
        for length = 0, 210 do
            local plain, mixed = {}, {}
            for i = 1, length do plain[i], mixed[i] = i % 3 == 0 and i + 0.5 or 'x' .. i, i == length and {i} or i end
            lists[#lists + 1] = {plain, mixed, 'end'}
        end
        return lists"""
    wanted = [
        [
            [i if i % 3 == 0 else b'x%d' % i for i in range(1, length + 1)],
            [[i] if i == length else i for i in range(1, length + 1)],
            b'end',
        ]
        for length in range(211)
    ]
    assert run(sandbox, nested) == wanted


def test_the_size_of_a_reply_is_limited_however_it_is_made_up() -> None:
    sandbox = Sandbox(limits=Limits(command_bytes=100_000))
    rows = 'local row = {} for i = 1, 50 do row[i] = ARGV[1] end local rows = {} for i = 1, 50 do rows[i] = row end'
    assert run(sandbox, f'{rows} return {{row}}', b'x' * 1000) == [[b'x' * 1000] * 50]
    for reply in ('rows', '{rows}', '{{row, row}}', '{ARGV[1], rows}', '{map = rows}'):
        with pytest.raises(ScriptAborted, match='its commands or its reply had more than'):
            run(sandbox, f'{rows} return {reply}', b'x' * 1000)


def test_an_error_of_the_store_is_not_for_the_script_to_catch() -> None:
    sandbox = Sandbox()

    def call(argv: list[bytes], resp3: bool) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sandbox.run(sandbox.load(b"pcall(redis.call, 'get', 'x') return 1"), [], [], call)
    assert run(sandbox, 'return 1') == 1


def test_commands_get_bytes_and_numbers_as_redis_writes_them() -> None:
    sandbox = Sandbox()
    seen: list[list[bytes]] = []

    def call(argv: list[bytes], resp3: bool) -> Reply:
        seen.append(argv)
        return None

    sandbox.run(sandbox.load(b"redis.call('x', 1, 1.5, 1e20, -2, 1e-7, 0.1 + 0.2, '\\0')"), [], [], call)
    assert seen == [[b'x', b'1', b'1.5', b'1e+20', b'-2', b'1e-7', b'0.30000000000000004', b'\0']]
    sandbox.run(sandbox.load(b"redis.call('x', unpack(ARGV))"), [], [b'%d' % number for number in range(5000)], call)
    assert seen[1] == [b'x', *(b'%d' % number for number in range(5000))]


def test_scripts_of_eval_are_forgotten_beyond_a_number_and_loaded_ones_are_not() -> None:
    sandbox = Sandbox()
    loaded = sandbox.load(b'return "loaded"')
    first = sandbox.load(b'return "first"', keep=False)
    for number in range(600):
        sandbox.load(b'return %d' % number, keep=False)
    assert sandbox.knows(loaded)
    assert not sandbox.knows(first)
    sandbox.flush()
    assert not sandbox.knows(loaded)


def test_a_script_survives_the_runtime_it_was_compiled_in() -> None:
    sandbox = Sandbox()
    sha = sandbox.load(b"return 'still here'")
    with pytest.raises(ScriptAborted):
        run(sandbox, "local s = 'x' while true do s = s .. s end")
    assert sandbox.run(sha, [], [], lambda argv, resp3: None) == b'still here'


def test_settings_and_globals_do_not_pass_from_script_to_script() -> None:
    sandbox = Sandbox()
    run(sandbox, 'cjson.encode_number_precision(3) redis.setresp(3) return 1')
    assert run(sandbox, 'return cjson.encode(1.23456)') == b'1.23456'
    assert run(sandbox, 'return true') == 1
    assert run(sandbox, 'return #ARGV', b'x') == 1
    assert run(sandbox, 'return #ARGV') == 0


def test_resp3_types_in_a_script() -> None:
    sandbox = Sandbox()
    source = "redis.setresp(3) local reply = redis.call('x') return reply.map and reply.map.a or tostring(reply.double)"
    assert run(sandbox, source, reply={b'a': 7}) == 7
    assert run(sandbox, source, reply=2.5) == b'2.5'
    assert run(sandbox, "return redis.call('x')", reply={b'a': 7}) == [b'a', 7]
    assert run(sandbox, "return redis.call('x')", reply=2.5) == b'2.5'
    assert run(sandbox, "return redis.call('x')", reply=Status(b'FINE')) == Status(b'FINE')


def test_what_a_failed_script_wrote_stays_as_in_redis(redis: Redis) -> None:
    with pytest.raises(redis_py.ResponseError, match='kept'):
        redis.eval("redis.call('set', KEYS[1], 'v') error('kept')", 1, 'k')
    assert redis.get('k') == b'v'


def test_what_a_killed_script_wrote_is_undone(redis: Redis) -> None:
    redis.set('k', 'before')
    with pytest.raises(redis_py.ResponseError, match='Script killed'):
        redis.eval("redis.call('set', KEYS[1], 'after') local s = 'x' while true do s = s .. s end", 1, 'k')
    assert redis.get('k') == b'before'


def test_registered_scripts_and_blocking_commands(redis: Redis) -> None:
    script = redis.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert script(['n'], [5]) == 5
    redis.script_flush()
    assert script(['n'], [5]) == 10
    assert redis.eval("return redis.call('blpop', 'empty', 0)", 0) is None


def test_select_in_a_script_is_for_the_script_only(redis: Redis) -> None:
    redis.eval("redis.call('select', 5) redis.call('set', 'k', 'v')", 0)
    assert redis.get('k') is None
    assert redis.eval("redis.call('select', 5) return redis.call('get', 'k')", 0) == b'v'


def test_compile_errors_name_the_line() -> None:
    with pytest.raises(ReplyError, match=r'^ERR Error compiling script \(new function\): user_script:2: '):
        Sandbox().load(b'local a = 1\nlocal = 2')
