"""A clock for stores and workers that a test can set; see jumping_clock.c."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix('.c')
HOURS = 3600


class JumpingClock:
    """Sets the time of day of all processes that are started from now on.

    Args:
        directory: where the library and the file with the offset are put.
        monkeypatch: for the environment of what is started.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        compiler = shutil.which('cc')
        if compiler is None or sys.platform != 'linux':
            pytest.skip('a C compiler (cc) and LD_PRELOAD are needed for a clock that can be set')
        library = directory / 'jumping_clock.so'
        subprocess.run([compiler, '-shared', '-fPIC', '-O1', '-o', library, SOURCE], check=True)
        self._offset = directory / 'clock-offset'
        self.set(0)
        monkeypatch.setenv('LD_PRELOAD', str(library))
        monkeypatch.setenv('RQ_LEVELDB_TEST_CLOCK', str(self._offset))

    def set(self, seconds: int) -> None:
        """Let it be so many seconds later than it is."""
        descriptor = os.open(self._offset, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(descriptor, struct.pack('@l', seconds), 0)
        os.close(descriptor)
