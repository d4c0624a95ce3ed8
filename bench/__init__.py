"""Benchmarks: how near the meter comes to the truth of emulated fleets."""
