"""Commands on a real LevelDB without a server: what they answer, as a client would see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hiredis

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import Command, find
from rq_leveldb.store.context import Context, StoreServices
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.replies import NO_REPLY, Pieces, Reply, ReplyError, unknown_subcommand
from rq_leveldb.store.resp import encode, encode_pieces


class Direct:
    """A store's commands, called as functions.

    Args:
        directory: where the database is, or will be.
        commands: the rows of the commands.
        engine: the database, if it is open already.

    Attributes:
        waiting: the last command that blocked: its keys and its attempt.
    """

    def __init__(self, directory: Path, commands: Iterable[Command], engine: Engine | None = None) -> None:
        self.directory = directory
        self.commands = {command.name.encode(): command for command in commands}
        self.engine = engine or Engine(directory)
        self.keys = Keyspace(self.engine)
        self.waiting: tuple[list[bytes], Callable[[bytes], Reply]] | None = None
        services = SimpleNamespace(block=self._block, settings=StoreSettings(DataDirectory(directory)))
        self.ctx = Context(self.keys, cast(ClientState, None), cast(StoreServices, services))

    def _block(
        self, ctx: Context, keys: list[bytes], timeout: float, attempt: Callable[[bytes], Reply], timeout_reply: Reply
    ) -> Reply:
        self.waiting = (keys, attempt)
        return NO_REPLY

    def run(self, *argv: bytes | str | int | float) -> Reply:
        """Execute one command as a transaction of its own.

        Raises:
            ReplyError: what the client would have got as an error.
        """
        arguments = [part if isinstance(part, bytes) else str(part).encode() for part in argv]
        command = find(self.commands, arguments)
        if command is None:
            raise unknown_subcommand(arguments[1].decode(), arguments[0].decode())
        if not command.accepts(len(arguments)):
            raise ReplyError(f"ERR wrong number of arguments for '{command.name}' command")
        self.keys.tick()
        reply = command.handler(self.ctx, arguments)
        self.keys.commit()
        return reply

    def call(self, *argv: bytes | str | int | float, resp3: bool = False) -> Any:
        """Return what a client reads as the reply; an error as the exception it becomes there."""
        self.ctx.resp3 = resp3
        try:
            reply = self.run(*argv)
        except ReplyError as error:
            reply = error
        reader = hiredis.Reader()
        if isinstance(reply, Pieces):
            for piece in encode_pieces(reply, resp3):
                reader.feed(piece)
        else:
            reader.feed(encode(reply, resp3))
        return reader.gets()

    def error(self, *argv: bytes | str | int | float) -> str:
        """Return the text of the error that the command has to answer."""
        try:
            self.run(*argv)
        except ReplyError as error:
            return error.text
        raise AssertionError('no error')

    def reopen(self) -> None:
        """As after kill -9: only what was committed is there."""
        self.engine.close()
        self.engine = Engine(self.directory)
        self.keys = Keyspace(self.engine)
        self.ctx.keys = self.keys

    def close(self) -> None:
        self.engine.close()
