"""Commands of the scripting group. Functions (FUNCTION, FCALL) are out."""

from __future__ import annotations

from rq_leveldb.store.arguments import integer
from rq_leveldb.store.command import NOSCRIPT, WRITE, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import OK, Reply, ReplyError, Status, unknown_subcommand, wrong_arity


def eval_(ctx: Context, argv: list[bytes]) -> Reply:
    keys_count = _keys_count(argv)
    return _run(ctx, ctx.services.sandbox.load(argv[1], keep=False), keys_count, argv, False)


def eval_ro(ctx: Context, argv: list[bytes]) -> Reply:
    keys_count = _keys_count(argv)
    return _run(ctx, ctx.services.sandbox.load(argv[1], keep=False), keys_count, argv, True)


def evalsha(ctx: Context, argv: list[bytes]) -> Reply:
    return _run(ctx, _known(ctx, argv), _keys_count(argv), argv, False)


def evalsha_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _run(ctx, _known(ctx, argv), _keys_count(argv), argv, True)


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
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    return count


def _run(ctx: Context, sha: bytes, keys_count: int, argv: list[bytes], readonly: bool) -> Reply:
    services, client = ctx.services, ctx.client
    commands, sandbox, script_time = services.commands, services.sandbox, services.script_time
    readonly = readonly or sandbox.is_readonly(sha)
    told: list[str] = []  # the errors of what the script called, which were counted when it called

    def call(command_argv: list[bytes], resp3: bool) -> Reply:
        command = commands.get(command_argv[0].lower())
        if command is None:
            raise ReplyError('ERR Unknown Redis command called from script')
        if not command.accepts(len(command_argv)):
            raise ReplyError('ERR Wrong number of args calling Redis command from script')
        flags = command.flags
        if NOSCRIPT in flags:
            raise ReplyError('ERR This Redis command is not allowed from script')
        if readonly and (WRITE in flags or command.name == 'publish'):
            raise ReplyError('ERR Write commands are not allowed from read-only scripts.')
        if WRITE in flags:
            script_time.wrote = True
        ctx.resp3 = resp3
        try:
            return services.call(ctx, command_argv)
        except ReplyError as error:
            shown = _in_script(error, command.name)
            told.append(shown.text)
            raise shown from None

    before = ctx.db, client.db, ctx.resp3, ctx.may_block, ctx.in_script
    ctx.may_block = False
    ctx.in_script = True
    script_time.begin()
    try:
        reply = sandbox.run(
            sha, argv[3 : 3 + keys_count], argv[3 + keys_count :], call, commands.__contains__, script_time.look
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


def _in_script(error: ReplyError, name: str) -> ReplyError:
    # Subcommands are commands of their own in Redis, which a script's call looks for itself.
    if error.text.startswith('ERR unknown subcommand'):
        return ReplyError('ERR Unknown Redis command called from script')
    if error.text.startswith(f"ERR wrong number of arguments for '{name}|"):
        return ReplyError('ERR Wrong number of args calling Redis command from script')
    return error


def script(ctx: Context, argv: list[bytes]) -> Reply:
    sandbox = ctx.services.sandbox
    subcommand = argv[1].lower()
    if subcommand == b'load':
        if len(argv) != 3:
            raise wrong_arity('script|load')
        return sandbox.load(argv[2])
    if subcommand == b'exists':
        if len(argv) < 3:
            raise wrong_arity('script|exists')
        return [int(sandbox.knows(sha.lower())) for sha in argv[2:]]
    if subcommand == b'flush':
        if len(argv) > 3 or (len(argv) == 3 and argv[2].lower() not in (b'sync', b'async')):
            raise ReplyError('ERR SCRIPT FLUSH only support SYNC|ASYNC option')
        sandbox.flush()
        return OK
    if subcommand == b'kill':
        if len(argv) != 2:
            raise wrong_arity('script|kill')
        ctx.services.script_time.kill()
        return OK
    if subcommand == b'debug':
        if len(argv) != 3:
            raise wrong_arity('script|debug')
        if argv[2].lower() != b'no':
            raise ReplyError('ERR the Lua debugger is not supported')
        return OK
    if subcommand == b'help':
        if len(argv) != 2:
            raise wrong_arity('script|help')
        return [Status(line) for line in _HELP]
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'SCRIPT')


_HELP = (
    b'SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
    b'EXISTS <sha1> [<sha1> ...]',
    b'    Return information about the existence of the scripts in the script cache.',
    b'FLUSH [ASYNC|SYNC]',
    b'    Flush the Lua scripts cache.',
    b'KILL',
    b'    Kill the currently executing Lua script.',
    b'LOAD <script>',
    b'    Load a script into the scripts cache without executing it.',
    b'HELP',
    b'    Print this help.',
)

COMMANDS = (
    row('eval', eval_, -3, 'noscript stale skip_monitor no_mandatory_keys movablekeys'),
    row('eval_ro', eval_ro, -3, 'readonly noscript stale skip_monitor no_mandatory_keys movablekeys'),
    row('evalsha', evalsha, -3, 'noscript stale skip_monitor no_mandatory_keys movablekeys'),
    row('evalsha_ro', evalsha_ro, -3, 'readonly noscript stale skip_monitor no_mandatory_keys movablekeys'),
    row('script', script, -2, 'noscript'),
)
