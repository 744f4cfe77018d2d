"""A dump: everything that RQ keeps in one file, from a store or from Redis, and back into either.

================  ===================================================================================
`blocks`          the file: numbered blocks with checksums; knows no key
`contents`        keys in blocks
`new_file`        appears under its name whole or not at all
`dumping`         from a place into a file
`restoring`       from a file into a place
================  ===================================================================================

docs/backups.rst has the grammar of the file, and says what is promised.
"""

from __future__ import annotations

from rq_leveldb.snapshot.blocks import BadDump
from rq_leveldb.snapshot.contents import Dump, Header
from rq_leveldb.snapshot.dumping import Dumped, Dumper
from rq_leveldb.snapshot.restoring import Restored, Restorer

__all__ = ['BadDump', 'Dump', 'Dumped', 'Dumper', 'Header', 'Restored', 'Restorer']
