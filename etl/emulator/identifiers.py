"""Ids as the service makes them: `DE-` and a version 1 UUID from just before the creation."""

from __future__ import annotations

# 100 ns ticks from 1582-10-15, where the time of a version 1 UUID begins, to the epoch.
UUID_EPOCH_TICKS = 0x01B21DD213814000


def instance_id(created_us: int, before_ms: int, number: int, node: int) -> str:
    """The id of an instance; another number or another node is another id."""
    # The number is in the sequence and in the ticks below a millisecond.
    below = number // 0x4000 % 10_000
    ticks = UUID_EPOCH_TICKS + (created_us - before_ms * 1000) * 10 + below
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
    sequence = 0x8000 | number & 0x3FFF
    return f"DE-{low:08x}-{middle:04x}-1{high:03x}-{sequence:04x}-0255ac1{node & 0xFFFFF:05x}"
