"""Benchmarks: one question per file; `python -m benchmarks.NAME --help`."""
