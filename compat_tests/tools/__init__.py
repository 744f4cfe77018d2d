"""Released tools around RQ, unmodified, on the store. `python -m pytest compat_tests/tools` runs them.

They come with the extra `tools`. A test whose tool is missing is skipped; with RQ_LEVELDB_TEST_TOOLS=required, as in
CI, it fails.
"""
