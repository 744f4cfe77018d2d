"""Commands of the scripting group. Functions (FUNCTION, FCALL) are out."""

from __future__ import annotations

from functools import partial

from rq_leveldb.store.arguments import integer
from rq_leveldb.store.commands.rows import container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import OK, Reply, ReplyError, too_many_keys


def _eval(readonly: bool, ctx: Context, argv: list[bytes]) -> Reply:
    keys_count = _keys_count(argv)
    return _run(ctx, ctx.services.sandbox.load(argv[1], keep=False), keys_count, argv, readonly)


def _evalsha(readonly: bool, ctx: Context, argv: list[bytes]) -> Reply:
    return _run(ctx, _known(ctx, argv), _keys_count(argv), argv, readonly)


def _known(ctx: Context, argv: list[bytes]) -> bytes:
    sha = argv[1]
    if len(sha) == 40:
        if not ctx.services.sandbox.knows(sha):
            _keys_count(argv)
            sha = sha.lower()
        if ctx.services.sandbox.knows(sha):
            return sha
    raise ReplyError('NOSCRIPT No matching script. Please use EVAL.')


def _keys_count(argv: list[bytes]) -> int:
    count = integer(argv[2])
    if count > len(argv) - 3:
        raise too_many_keys()
    if count < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    return count


def _run(ctx: Context, sha: bytes, keys_count: int, argv: list[bytes], readonly: bool) -> Reply:
    services, client = ctx.services, ctx.client
    sandbox, script_time = services.sandbox, services.script_time
    readonly = readonly or sandbox.is_readonly(sha)
    told: list[str] = []  # the errors of what the script called, which were counted when it called
    call_from_script = services.call_from_script

    def call(command_argv: list[bytes], resp3: bool) -> Reply:
        try:
            return call_from_script(readonly, ctx, command_argv, resp3)
        except ReplyError as error:
            if error.counted:
                told.append(error.text)
            raise

    before = ctx.db, client.db, ctx.resp3, ctx.may_block, ctx.in_script
    ctx.may_block = False
    ctx.in_script = True
    script_time.begin()
    try:
        reply = sandbox.run(
            sha,
            argv[3 : 3 + keys_count],
            argv[3 + keys_count :],
            call,
            services.commands.__contains__,
            script_time.look,
        )
        kind = type(reply)
        if kind is list:
            for item in reply:  # type: ignore[union-attr]
                if type(item) is ReplyError:
                    services.statistics.count_error(item.text)
        elif kind is ReplyError:
            raise reply  # type: ignore[misc]
        return reply
    except ReplyError as error:
        error.counted = any(map(error.text.startswith, told))
        raise
    finally:
        script_time.end()
        ctx.db, client.db, ctx.resp3, ctx.may_block, ctx.in_script = before


# -- SCRIPT


def load(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.services.sandbox.load(argv[2])


def exists(ctx: Context, argv: list[bytes]) -> Reply:
    return [int(ctx.services.sandbox.knows(sha.lower())) for sha in argv[2:]]


def flush(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3 or (len(argv) == 3 and argv[2].lower() not in (b'sync', b'async')):
        raise ReplyError('ERR SCRIPT FLUSH only support SYNC|ASYNC option')
    ctx.services.sandbox.flush()
    return OK


def kill(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.script_time.kill()
    return OK


def debug(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[2].lower() != b'no':
        raise ReplyError('ERR the Lua debugger is not supported')
    return OK


_EVAL = 'noscript stale skip_monitor no_mandatory_keys movablekeys'

COMMANDS = (
    row('eval', partial(_eval, False), -3, f'{_EVAL} may_replicate may_write'),
    row('eval_ro', partial(_eval, True), -3, f'{_EVAL} readonly'),
    row('evalsha', partial(_evalsha, False), -3, f'{_EVAL} may_replicate may_write'),
    row('evalsha_ro', partial(_evalsha, True), -3, f'{_EVAL} readonly'),
    container(
        'script',
        row('load', load, 3, 'noscript stale'),
        row('exists', exists, -3, 'noscript'),
        row('flush', flush, -2, 'noscript'),
        row('kill', kill, 2, 'noscript allow_busy'),
        row('debug', debug, 3, 'noscript'),
    ),
)
