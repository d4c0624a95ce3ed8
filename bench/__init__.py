"""Benchmarks: how fast demeter is, how near to the truth, and what it bears, beside what others do."""
