"""Runs a script that mounts file systems, where nobody else sees them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT


def run_with_mounts_of_its_own(name: str, mount: Path) -> None:
    """Run a module of this directory as a program that may mount what it wants; it has to succeed.

    Args:
        name: the module's name.
        mount: a directory that is made for its mounts.
    """
    mount.mkdir()
    inside = ['unshare', '--user', '--map-root-user', '--mount']
    if shutil.which('unshare') is None or subprocess.run([*inside, 'true'], capture_output=True).returncode:
        pytest.skip('needs a mount namespace')
    done = subprocess.run(
        [*inside, sys.executable, '-m', f'tests.store.{name}', mount],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
