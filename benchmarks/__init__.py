"""How fast rq-leveldb is, beside its peers: `python -m benchmarks --help`."""
