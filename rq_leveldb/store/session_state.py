"""The states of a session, and their transitions.

Execution and reading have separate states: a client may have ended its side while its last command still runs, and
input from a client that sends too much is not read although nothing is wrong.

========== ========================================================================================
execution
========== ========================================================================================
READY      nothing is in progress: commands are executed as they arrive
RUNNING    commands are being executed
STREAMING  a reply is sent in pieces, or will be once earlier replies are sent; nothing else is done
CLOSING    the client is disconnected once its replies have been sent
========== ========================================================================================

========== ========================================================================================
reading
========== ========================================================================================
OPEN       bytes are read as they arrive
HELD       no bytes are read for now: too much was sent ahead
ENDED      the client sends no more
FAULTY     the input was not a valid command: everything after it is ignored
========== ========================================================================================
"""

from __future__ import annotations

from enum import IntEnum


class Execution(IntEnum):
    """The state of command execution."""

    READY = 0
    RUNNING = 1
    STREAMING = 2
    CLOSING = 3


class Reading(IntEnum):
    """The state of reading input."""

    OPEN = 0
    HELD = 1
    ENDED = 2
    FAULTY = 3


# The transitions: each maps the states in which it is allowed to the next state.

BEGIN = {Execution.READY: Execution.RUNNING}
"""A run of commands begins."""

END = {state: state for state in Execution} | {Execution.RUNNING: Execution.READY}
"""The run is over. A reply in pieces that ended it may already have been sent."""

STREAM = {Execution.RUNNING: Execution.STREAMING, Execution.CLOSING: Execution.CLOSING}
"""A reply is sent in pieces."""

STREAMED = {Execution.STREAMING: Execution.READY, Execution.CLOSING: Execution.CLOSING}
"""Its last piece was handed over."""

CLOSE = dict.fromkeys(Execution, Execution.CLOSING)
"""The client is to be disconnected, or has disconnected."""

HOLD = {state: state for state in Reading} | {Reading.OPEN: Reading.HELD}
"""Reading pauses."""

RESUME = {Reading.HELD: Reading.OPEN}
"""Reading resumes."""

FAIL = dict.fromkeys(Reading, Reading.FAULTY)
"""A fault was found in the input."""

FINISH = dict.fromkeys(Reading, Reading.ENDED) | {Reading.FAULTY: Reading.FAULTY}
"""The client has ended its side of the connection."""
