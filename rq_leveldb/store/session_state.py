"""The states of a session, and what changes them.

What is executed for a client and what is read from it are two things: a client may have ended its side while its last
command still runs, and one that sends too much is not listened to though all is well.

========== =============================================================================================
execution
========== =============================================================================================
READY      nothing is under way: what arrives is executed
RUNNING    commands are executed
STREAMING  a reply is sent in pieces, or will be once what came before it has left; nothing else is done
CLOSING    the client is disconnected as soon as what was answered has been sent
========== =============================================================================================

========== =============================================================================================
reading
========== =============================================================================================
OPEN       bytes are taken as they arrive
HELD       none are taken for now: too much was sent ahead
ENDED      the client sends no more
FAULTY     what it sent is no command: nothing behind that is looked at
========== =============================================================================================
"""

from __future__ import annotations

from enum import IntEnum


class Execution(IntEnum):
    """What is done for a client."""

    READY = 0
    RUNNING = 1
    STREAMING = 2
    CLOSING = 3


class Reading(IntEnum):
    """What is taken from a client."""

    OPEN = 0
    HELD = 1
    ENDED = 2
    FAULTY = 3


# What may happen: for each state in which it may, the state afterwards.

BEGIN = {Execution.READY: Execution.RUNNING}
"""A run begins: commands are executed."""

END = {state: state for state in Execution} | {Execution.RUNNING: Execution.READY}
"""The run is over. The reply in pieces that ended it may have left as a whole meanwhile."""

STREAM = {Execution.RUNNING: Execution.STREAMING, Execution.CLOSING: Execution.CLOSING}
"""The reply is one that is sent in pieces."""

STREAMED = {Execution.STREAMING: Execution.READY, Execution.CLOSING: Execution.CLOSING}
"""Its last piece was handed over."""

CLOSE = dict.fromkeys(Execution, Execution.CLOSING)
"""The client is to be disconnected, or has gone."""

HOLD = {state: state for state in Reading} | {Reading.OPEN: Reading.HELD}
"""No more bytes are wanted for now."""

RESUME = {Reading.HELD: Reading.OPEN}
"""They are again."""

FAIL = dict.fromkeys(Reading, Reading.FAULTY)
"""A fault was found in what the client sent."""

FINISH = dict.fromkeys(Reading, Reading.ENDED) | {Reading.FAULTY: Reading.FAULTY}
"""The client has ended its side of the connection."""
