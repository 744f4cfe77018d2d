"""The replies of commands, and the texts of the errors.

A reply is a plain Python value where its meaning is clear:

=================  ==========================  ===========================
Python             RESP2                       RESP3
=================  ==========================  ===========================
bytes              bulk string                 bulk string
int                integer                     integer
None               null bulk string            null
float              bulk string                 double
list, tuple        array                       array
dict               array of keys and values    map
bool               integer 1 or 0              boolean
Status             simple string               simple string
SetReply           array                       set
NullArray          null array                  null
Verbatim           bulk string                 verbatim string (txt)
Push               array                       push
Pushes             several arrays              several pushes
Pieces             array                       array (or set, map), produced while it is sent
StoreReplyError    error                       error
=================  ==========================  ===========================

Errors are exceptions that commands raise; inside an array (EXEC) they are elements.
Codes and texts are Redis's own, since clients match on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, unsafe_hash=True)
class Status:
    """A simple string, such as OK."""

    text: bytes


class SetReply(list[Any]):
    """An array in RESP2 and a set in RESP3; its elements are distinct."""


class Push(list[Any]):
    """An out-of-band message (pub/sub). An ordinary array in RESP2."""


class Pushes(list[Push]):
    """Several pushes as the reply to one command: SUBSCRIBE confirms each channel."""


class NullArray:
    """Redis's null array, which RESP2 clients distinguish from a null bulk string."""


class NoReply:
    """No reply for now: the command is blocked, or has answered through its session itself."""


@dataclass(slots=True)
class Verbatim:
    """Text for people (INFO, CLIENT LIST): a bulk string in RESP2."""

    text: bytes


@dataclass(eq=False, slots=True)
class Pieces:
    """An array of known length whose elements are produced while it is sent.

    A reply of a million elements does not have to be in memory at once.

    Args:
        count: how many elements `elements` yields (for a map: keys and values counted apart).
        elements: yields the elements; it must not depend on later changes of the database.
        kind: ``array``, ``set`` or ``map``.

    Attributes:
        counting: if the count is not known yet, an iterator that counts a slice at each step and has set `count` when
            it ends.
    """

    count: int
    elements: Iterator[Any]
    kind: str = 'array'
    counting: Iterator[None] | None = None


class ReplyError(Exception):
    """An error reply; its first word is the code.

    Args:
        text: code and words, without the leading minus and without line ends.

    Attributes:
        counted: whether INFO's error counters already include it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.counted = False


_Plain = bytes | int | float | list[Any] | tuple[Any, ...] | dict[Any, Any] | None
Reply = _Plain | Status | NullArray | Verbatim | Pieces | ReplyError | NoReply

MAX_WHOLE = 1000
"""Most elements of a reply that is held in memory; a longer one is produced while it is sent."""


def pairs_reply(pairs: Iterable[tuple[Any, Any]], both: bool, resp3: bool) -> Reply:
    """Make the reply of fields and values, or members and scores.

    Args:
        pairs: the pairs.
        both: whether the second of each is wanted.
        resp3: whether each pair may be a separate array.
    """
    if not both:
        return [one for one, _ in pairs]
    if resp3:
        return [list(pair) for pair in pairs]
    return [part for pair in pairs for part in pair]


def pairs_pieces(count: int, pairs: Iterable[tuple[Any, Any]], both: bool, resp3: bool) -> Reply:
    """Make the same reply as :func:`pairs_reply`, but produced while it is sent.

    Args:
        count: how many pairs there are.
        pairs: as for :func:`pairs_reply`.
        both: likewise.
        resp3: likewise.
    """
    if not both:
        return Pieces(count, (one for one, _ in pairs))
    if resp3:
        return Pieces(count, (list(pair) for pair in pairs))
    return Pieces(2 * count, (part for pair in pairs for part in pair))


OK = Status(b'OK')
QUEUED = Status(b'QUEUED')
PONG = Status(b'PONG')
NULL_ARRAY = NullArray()
NO_REPLY = NoReply()


def shown(argument: bytes) -> str:
    """Return a client's bytes as text for an error, from which the same bytes can be restored."""
    return argument.decode('utf-8', 'surrogateescape')


def wrong_type() -> ReplyError:
    """Return the error for a command whose key holds another type."""
    return ReplyError('WRONGTYPE Operation against a key holding the wrong kind of value')


def syntax_error() -> ReplyError:
    """Return the error for unknown or incompatible options."""
    return ReplyError('ERR syntax error')


def integer_out_of_range(least: int, most: int) -> ReplyError:
    """Return the error for an integer outside ``least`` to ``most``, both inclusive."""
    return ReplyError(f'ERR value is out of range, value must between {least} and {most}')


def not_a_float() -> ReplyError:
    """Return the error for an argument that is not a floating-point number."""
    return ReplyError('ERR value is not a valid float')


def wrong_arity(name: str) -> ReplyError:
    """Return the error for a command with too few or too many arguments.

    Args:
        name: the command's name in lower case, with a subcommand as ``client|list``.
    """
    return ReplyError(f"ERR wrong number of arguments for '{name}' command")


def no_such_key() -> ReplyError:
    """Return the error for a command whose key must exist."""
    return ReplyError('ERR no such key')


def out_of_range(what: str = 'value') -> ReplyError:
    """Return the error for a number that is too large or too small.

    Args:
        what: what the number is, in a word.
    """
    return ReplyError(f'ERR {what} is out of range')


def db_out_of_range() -> ReplyError:
    """Return the error for a database number that does not exist."""
    return ReplyError('ERR DB index is out of range')


def same_object() -> ReplyError:
    """Return the error for a copy or a move onto the same key."""
    return ReplyError('ERR source and destination objects are the same')


def no_keys() -> ReplyError:
    """Return the error for a number of keys that is not positive."""
    return ReplyError('ERR numkeys should be greater than 0')


def too_many_keys() -> ReplyError:
    """Return the error for a number of keys greater than the number of arguments."""
    return ReplyError("ERR Number of keys can't be greater than number of args")


def unknown_subcommand(name: str, command: str) -> ReplyError:
    """Return the error for an unknown subcommand.

    Args:
        name: what the client sent.
        command: the container command in upper case.
    """
    return ReplyError(f"ERR unknown subcommand '{name[:128]}'. Try {command} HELP.")


def wrong_usage(argv: list[bytes]) -> ReplyError:
    """Return the error of a subcommand that itself finds too many or unknown arguments."""
    name, command = shown(argv[1][:128]), shown(argv[0]).upper()
    return ReplyError(f"ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} HELP.")


def unknown_command(name: bytes, arguments: list[bytes]) -> ReplyError:
    """Return the error for an unknown command.

    Args:
        name: what the client sent.
        arguments: its arguments; the error shows the first ones.
    """
    beginning = ''
    for argument in arguments:
        if len(beginning) >= 128:
            break
        beginning += f"'{shown(argument[: 128 - len(beginning)])}' "
    return ReplyError(
        f"ERR unknown command '{shown(name[:128])}', with args beginning with: {beginning}".replace('\r', ' ').replace(
            '\n', ' '
        )
    )
