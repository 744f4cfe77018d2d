"""What is left of a real Redis with an append only file when something goes wrong, beside what is left of the store.

The loads, cuts, kills, errors and judgements are those of `tests/power`; here is what makes Redis one more server for
them. ``python -m compat_tests.power --help`` is the command.
"""
