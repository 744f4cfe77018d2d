"""python -m rq_leveldb: the command line. The store command loads only what it needs."""

from __future__ import annotations

import sys

__all__ = ['main']


def main() -> int:
    """Run the command line with the process' arguments and return its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ['store']:
        if '--detached' in arguments:
            from rq_leveldb.process import detach

            # Here, before anything is opened and any module is loaded that a fork could disturb.
            detach()
        from rq_leveldb.store.program import main as store

        return store(arguments[1:])
    from rq_leveldb.cli.main import main as command_line

    return command_line(arguments)


if __name__ == '__main__':
    sys.exit(main())
