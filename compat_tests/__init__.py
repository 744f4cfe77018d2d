"""Tests that hold rq-leveldb against its two models: RQ's own test suite and a real Redis server."""
