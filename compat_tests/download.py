"""Suites of other projects: downloaded once, and kept in ``.cache`` in the checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


class UnavailableError(RuntimeError):
    """A file cannot be had; says how to have it."""


def source_distribution(project: str, release: str) -> Path:
    """Return the path of a project's source distribution.

    Raises:
        UnavailableError: if it cannot be downloaded; carries pip's own words.
    """
    wanted = _cache() / f'{project}-{release}.tar.gz'
    if not wanted.exists():
        command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check']
        command += ['--no-deps', '--no-binary', project, f'{project}=={release}']
        with tempfile.TemporaryDirectory(dir=wanted.parent) as target:
            pip = subprocess.run([*command, '--dest', target], capture_output=True, text=True)
            got = next(Path(target).glob(f'{project}-*.tar.gz'), None)
            if got is None:
                raise UnavailableError(
                    f'the source distribution of {project} {release}, which holds its tests, cannot be downloaded. Put '
                    f'it at {wanted} and try again. pip said:\n{pip.stderr}'
                )
            got.replace(wanted)
    return wanted


def archive(address: str, sha256: str) -> Path:
    """Return the path of what stands at an address.

    Args:
        address: a URL whose last part is a file name.
        sha256: what the file's SHA-256 has to be, in hexadecimal.

    Raises:
        UnavailableError: if it cannot be downloaded, or is another file.
    """
    wanted = _cache() / address.rpartition('/')[2]
    if not wanted.exists():
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                content = answer.read()
        except OSError as error:
            raise UnavailableError(
                f'{address} cannot be downloaded ({error}). Put it at {wanted} and try again.'
            ) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UnavailableError(f'{address} gives another file than it should: its SHA-256 is not {sha256}')
        with tempfile.NamedTemporaryFile(dir=wanted.parent, delete=False) as part:
            part.write(content)
        Path(part.name).replace(wanted)
    return wanted


def _cache() -> Path:
    cache = CHECKOUT / '.cache'
    try:
        cache.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError:
        cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'rq-leveldb-tests')
        cache.mkdir(parents=True, exist_ok=True)
    return cache
