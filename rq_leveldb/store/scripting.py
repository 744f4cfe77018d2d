"""The Lua sandbox: the only importer of lupa.

Lua 5.1 as Redis has it (lupa's ``lua51``; LuaJIT's count hook does not see compiled loops, and its FFI is a way out).
What scripts see is made in ``lua/sandbox.lua``, from names that are listed there. The limits:

* Memory: an allocator with a cap. Lua reports a failed allocation by a long jump, which must not happen where lupa is
  not prepared for it (it aborts the process, or leaves the interpreter's lock taken). So the cap is raised by the size
  of a script's arguments, a script close to its cap may no longer call Python, and a reply that might not fit ends the
  script instead of being handed over.
* Time: a count hook, and each command, check every few milliseconds whether the script may continue
  (``script_time.py``). A script cannot catch its abort with pcall. There are no coroutines, since a hook does not see
  into them. Nor does it see into C functions: those that may take long (sorting, moving, patterns) are replaced.

A runtime in which a limit was hit is discarded and its memory freed at once. No Python object ever reaches a script:
replies are bytes, numbers and tables, and no function that Lua calls raises an exception.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rq_leveldb.store.number_text import lua_text
from rq_leveldb.store.replies import Reply, ReplyError, Status, shown
from rq_leveldb.store.script_source import Script, parse, without_tail_calls
from rq_leveldb.store.script_time import ScriptAborted
from rq_leveldb.store.script_values import one_line, plain_values, read_tokens, scalar_reply, size_in_lua, to_lua

if TYPE_CHECKING:
    from lupa.lua51 import LuaRuntime

logger = logging.getLogger(__name__)

KIB = 1024
MIB = 1024 * KIB

_RESERVE = MIB
"""Bytes below the cap from which on a script may no longer call Python."""

_SMALL = 4 * KIB
"""Bytes; smaller values are not checked individually."""

_MAX_SOURCE = 16 * MIB

_MAX_DIRECT = 200
"""Up to this many arguments or elements are passed as Lua arguments; more as a table. Lua's stack has 8,000 slots."""

_KEPT_SCRIPTS = 500
"""Number of scripts sent with EVAL, not SCRIPT LOAD, that are remembered, as in Redis 7.4."""

_COLLECT_ABOVE = 4 * MIB
"""Bytes that may stay allocated between two scripts."""

_NESTED = frozenset((list, dict))

# How py_call tells sandbox.lua what its first value is.
_STATUS, _LIST, _ERROR, _ABORT = 1, 2, 3, 4

_LEVELS = (logging.DEBUG, logging.INFO, logging.INFO, logging.WARNING)

# How a run ended, in sandbox.lua.
_R_VALUE, _R_TOKENS, _R_ERROR, _R_LIMIT, _R_LIST = range(5)

Call = Callable[['list[bytes]', bool], Reply]
"""Executes one command in the script's transaction: its arguments, and whether the reply may use RESP3 types."""

Look = Callable[[float], 'ReplyError | None']
"""Checks whether the script may continue after so many seconds; see :meth:`ScriptTime.look`."""

_LOOK_INTERVAL = 0.005
"""Seconds between two checks."""


@dataclass(frozen=True)
class Limits:
    """The limits of one script.

    Attributes:
        memory: bytes beyond the size of its arguments.
        command_bytes: total size of the large commands that it calls, and of its reply.
    """

    memory: int = 64 * MIB
    command_bytes: int = 512 * MIB


@dataclass(eq=False, slots=True)
class _Run:
    """The running script."""

    call: Call
    is_command: Callable[[bytes], bool]
    look: Look
    bytes_left: int
    cap: int = 0
    resp3: bool = False
    failure: BaseException | None = None
    argv: list[Any] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)
    started: float = field(default_factory=monotonic)
    next_look: float = 0.0

    def must_end(self) -> bool:
        """Return whether the script has to end, with `failure`; asked again, it still has to."""
        if self.failure is not None:
            return True
        now = monotonic()
        self.next_look = now + _LOOK_INTERVAL
        try:
            self.failure = self.look(now - self.started)
        except BaseException as error:
            self.failure = error
        return self.failure is not None


class Sandbox:
    """All scripts of a store. The first one creates the runtime.

    Args:
        version: the version of Redis that scripts see, such as ``8.2.0``.
        limits: the limits of one script.
    """

    def __init__(self, version: str = '8.2.0', limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._version = version
        self._scripts: dict[bytes, Script] = {}
        self._kept: set[bytes] = set()  # by SCRIPT LOAD
        self._runtime: _Runtime | None = None

    def load(self, source: bytes, keep: bool = True) -> bytes:
        """Compile a script and remember it.

        Args:
            source: the script's text.
            keep: whether to keep it until :meth:`flush`; else newer ones may displace it.

        Returns:
            Its SHA1, hexadecimal.

        Raises:
            ReplyError: it cannot be compiled.
        """
        sha = hashlib.sha1(source).hexdigest().encode()
        if sha not in self._scripts:
            script = parse(source)
            self._ready().function(sha, script.program)
            self._scripts[sha] = script
            if not keep:
                self._forget_oldest()
        if keep:
            self._kept.add(sha)
        return sha

    def _forget_oldest(self) -> None:
        if len(self._scripts) - len(self._kept) > _KEPT_SCRIPTS:
            oldest = next(sha for sha in self._scripts if sha not in self._kept)
            del self._scripts[oldest]
            if self._runtime is not None:
                self._runtime.forget(oldest)

    def count(self) -> int:
        """Return how many scripts are remembered."""
        return len(self._scripts)

    def knows(self, sha: bytes) -> bool:
        """Return whether there is a script with this digest.

        Args:
            sha: in lower case.
        """
        return sha in self._scripts

    def is_readonly(self, sha: bytes) -> bool:
        """Return whether a script's first line declares that it writes nothing.

        Args:
            sha: of a loaded script.
        """
        return self._scripts[sha].readonly

    def flush(self) -> None:
        """Forget all scripts."""
        self._scripts.clear()
        self._kept.clear()
        self._drop()

    def run(
        self,
        sha: bytes,
        keys: list[bytes],
        arguments: list[bytes],
        call: Call,
        is_command: Callable[[bytes], bool] = lambda name: True,
        look: Look = lambda seconds: None,
    ) -> Reply:
        """Run a script and return its reply.

        If the script failed or `look` ended it, the reply is a ReplyError; what it did so far stays, as in Redis.

        Args:
            sha: of a loaded script.
            keys: KEYS.
            arguments: ARGV.
            call: executes the commands that the script calls; a ReplyError becomes an error in the script.
            is_command: whether a command of this name (in lower case) exists, for redis.acl_check_cmd().
            look: called every few milliseconds to check whether the script may continue.

        Raises:
            ScriptAborted: it hit a limit; what it did must be undone.
            Exception: anything else that `call` raised.
        """
        runtime = self._runtime
        if runtime is None or runtime.spoiled:
            runtime = self._ready()
        try:
            current = _Run(call, is_command, look, self._limits.command_bytes)
            return runtime.run(sha, self._scripts[sha].program, keys, arguments, current)
        finally:
            if runtime.spoiled:
                self._drop()

    def _drop(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def _ready(self) -> _Runtime:
        if self._runtime is not None and self._runtime.spoiled:
            self._drop()
        if self._runtime is None:
            self._runtime = _Runtime(self._version, self._limits)
        return self._runtime


class _Runtime:
    """One Lua state with the sandbox in it.

    Attributes:
        spoiled: it must not be used again.
    """

    def __init__(self, version: str, limits: Limits) -> None:
        # A store that runs no script needs no Lua, and starts faster without it.
        from lupa.lua51 import LuaError, LuaRuntime

        self.spoiled = False
        self._lua_error: type[Exception] = LuaError
        self._limits = limits
        self.current: _Run | None = None
        self._functions: dict[bytes, Any] = {}
        lua = LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            max_memory=0,
        )
        self.lua: LuaRuntime = lua
        major, minor, patch = (int(number) for number in version.split('.'))
        settings = lua.table_from(
            {
                b'memory': limits.memory,
                b'reply_bytes': limits.command_bytes,
                b'version': version.encode(),
                b'version_number': major << 16 | minor << 8 | patch,
            }
        )
        modules = [_module(lua, name) for name in ('patterns', 'tables', 'cjson', 'bit')]
        # lupa forgets a Python object that was passed twice as soon as Lua has collected one of the two.
        self._callbacks = _functions(self)
        self._compile, self._adopt, self._run = _module(lua, 'sandbox', *self._callbacks, *modules, settings)
        self._base_used = self._used()

    def close(self) -> None:
        """Free the memory at once, since Lua and the functions it calls reference each other."""
        self.spoiled = True
        self.lua.set_max_memory(0)
        self.lua.gccollect()
        self._functions.clear()
        del self._compile, self._adopt, self._run, self.lua, self._callbacks

    def _used(self) -> int:
        return int(self.lua.get_memory_used(total=True))

    def function(self, sha: bytes, source: bytes) -> Any:
        """Return the compiled script.

        Raises:
            ReplyError: in Redis' words.
        """
        function = self._functions.get(sha)
        if function is not None:
            return function
        if len(source) > _MAX_SOURCE:
            raise ReplyError('ERR Error compiling script (new function): the script is too long')
        before = self._used()
        # A program is several times as large in memory as its text.
        self.lua.set_max_memory(before + 64 * len(source) + self._limits.memory, total=True)
        if source[:1] == b'\x1b':
            # Lua would take it for bytecode.
            source = b' ' + source
        try:
            compiled = self._compile(source)
            if isinstance(compiled, tuple):
                raise ReplyError(f'ERR Error compiling script (new function): {shown(compiled[1])}')
            self.lua.set_max_memory(0)
            function = self._adopt(without_tail_calls(compiled))
        except self._lua_error:
            self.spoiled = True
            raise ScriptAborted('ERR Error compiling script (new function): not enough memory') from None
        finally:
            self.lua.set_max_memory(0)
        self._base_used += max(self._used() - before, 0)
        self._functions[sha] = function
        return function

    def forget(self, sha: bytes) -> None:
        self._functions.pop(sha, None)

    def run(self, sha: bytes, source: bytes, keys: list[bytes], arguments: list[bytes], current: _Run) -> Reply:
        function = self._functions.get(sha)
        if function is None:
            function = self.function(sha, source)
        lua = self.lua
        given = keys + arguments
        count = len(given)
        cap = self._used() + 2 * (sum(map(len, given)) + 64 * count) + self._limits.memory + _RESERVE
        self.current = current
        current.cap = cap
        current.next_look = current.started + _LOOK_INTERVAL
        soft_limit = (cap - _RESERVE) // KIB
        try:
            lua.set_max_memory(cap, total=True)
            if count <= _MAX_DIRECT:
                ending = self._run(function, None, soft_limit, len(keys), *given)
            else:
                ending = self._run(function, lua.table_from(given), soft_limit, len(keys))
        except self._lua_error:
            self.spoiled = True
            if current.failure is not None:
                raise _with_script(current.failure, sha) from None
            raise _aborted('memory', sha, self._limits) from None
        finally:
            self.current = None
            lua.set_max_memory(0)
        tag = ending[0]
        if tag == _R_VALUE:
            reply = scalar_reply(ending[1], current.resp3)
        elif tag == _R_LIST:
            reply = plain_values(ending[2:])
        elif tag == _R_TOKENS:
            current.tokens.extend(ending[2:])
            reply = read_tokens(iter(current.tokens), current.resp3)
        elif tag == _R_ERROR:
            reply = _script_error(sha, *ending[1:])
        else:
            self.spoiled = True
            failure = current.failure
            if type(failure) is ReplyError:
                return _script_error(sha, failure.text.encode(), *ending[2:])
            if failure is not None:
                raise _with_script(failure, sha)
            raise _aborted(ending[1].decode(), sha, self._limits)
        if self._used() - self._base_used > _COLLECT_ABOVE:
            lua.gccollect()
            self.spoiled = self._used() - self._base_used > _COLLECT_ABOVE
        return reply

    def has_room(self, size: int) -> bool:
        """Return whether values of so many bytes can be passed to the running script."""
        assert self.current is not None
        if self._used() + size <= self.current.cap - _RESERVE // 2:
            return True
        self.lua.gccollect()
        return self._used() + size <= self.current.cap - _RESERVE // 2


def _module(lua: LuaRuntime, name: str, *arguments: Any) -> Any:
    source = (Path(__file__).parent / 'lua' / f'{name}.lua').read_bytes()
    return lua.execute(source, *arguments, name=b'=sandbox')


def _aborted(reason: str, sha: bytes, limits: Limits) -> BaseException:
    words = {
        'memory': f'it needed more than {limits.memory // MIB} MiB of memory',
        'size': f'its commands or its reply had more than {limits.command_bytes // MIB} MiB',
    }[reason]
    return _with_script(ScriptAborted(f'ERR Script killed: {words}. Nothing that it wrote was kept'), sha)


def _with_script(error: BaseException, sha: bytes) -> BaseException:
    return ScriptAborted(f'{error.text}. script: {sha.decode()}') if isinstance(error, ScriptAborted) else error


# -- functions that Lua calls. None of these may raise: an exception would reach the script as a Python object.


def _functions(runtime: _Runtime) -> tuple[Callable[..., Any], ...]:
    """Return the functions that sandbox.lua expects, in its order."""
    # Closures are called much faster than methods.

    def call(*arguments: Any) -> Any:
        run = runtime.current
        assert run is not None
        if monotonic() >= run.next_look and run.must_end():
            return b'time', _ABORT
        try:
            try:
                size = sum(map(len, arguments))
                argv = list(arguments)
            except TypeError:  # from the length of a number
                argv = [argument if type(argument) is bytes else lua_text(argument) for argument in arguments]
                size = sum(map(len, argv))
            if run.argv:
                argv = run.argv + argv
                run.argv = []
                size = sum(map(len, argv))
            if size > _SMALL:
                run.bytes_left -= size
                if run.bytes_left < 0:
                    return b'size', _ABORT
            reply = run.call(argv, run.resp3)
            kind = type(reply)
            if kind is bytes:
                if len(reply) > _SMALL and not runtime.has_room(2 * len(reply)):  # type: ignore[arg-type]
                    return b'memory', _ABORT
                return reply
            if kind is int:
                return reply
            if reply is None:
                return None if run.resp3 else False
            if kind is Status:
                return reply.text, _STATUS  # type: ignore[union-attr]
            converted = to_lua(reply, run.resp3)
            if not runtime.has_room(size_in_lua(converted)):
                return b'memory', _ABORT
            if type(converted) is list and len(converted) <= _MAX_DIRECT and _NESTED.isdisjoint(map(type, converted)):
                return (None, _LIST, *converted)
            return _table(runtime.lua, converted)
        except ReplyError as error:
            if isinstance(error, ScriptAborted):
                run.failure = error
                return b'size', _ABORT
            return error.text.encode('utf-8', 'surrogateescape'), _ERROR
        except BaseException as error:
            run.failure = error
            return b'size', _ABORT

    def more(*arguments: Any) -> None:
        run = runtime.current
        assert run is not None
        run.argv += [argument if type(argument) is bytes else lua_text(argument) for argument in arguments]

    def emit(*tokens: Any) -> None:
        run = runtime.current
        assert run is not None
        run.tokens += tokens

    def lift() -> None:
        runtime.lua.set_max_memory(0)

    def may(what: bytes, value: Any) -> bool:
        run = runtime.current
        assert run is not None
        if what == b'resp':
            run.resp3 = value == 3
            return True
        return run.is_command(value.lower())

    def look() -> bool:
        run = runtime.current
        return run is not None and run.must_end()

    return call, more, emit, lift, _sha1hex, _log, may, look


def _sha1hex(data: bytes) -> bytes:
    return hashlib.sha1(data).hexdigest().encode()


def _log(level: int, words: bytes) -> None:
    logger.log(_LEVELS[level], '%s', words.decode('utf-8', 'backslashreplace'))


def _table(lua: LuaRuntime, value: Any) -> Any:
    if type(value) is list:
        return lua.table_from([_table(lua, item) for item in value])
    if type(value) is dict:
        return lua.table_from({key: _table(lua, item) for key, item in value.items()})
    return value


def _script_error(sha: bytes, words: bytes, source: bytes | None = None, line: int | None = None) -> ReplyError:
    text = words + b' script: ' + sha
    if source is not None and line is not None:
        text += b', on %b:%d.' % (source, line)
    return ReplyError(shown(one_line(text)))
