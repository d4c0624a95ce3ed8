"""A faithful listing service with its own clock and faults, for tests, the demo and benchmarks."""

from etl.emulator.answers import ERRORS, Answer
from etl.emulator.clock import Clock
from etl.emulator.emulator import Emulator, run
from etl.emulator.faults import Faults
from etl.emulator.fleet import Fleet
from etl.emulator.instance import Instance, Interval
from etl.emulator.settings import FleetSettings

__all__ = [
    "ERRORS",
    "Answer",
    "Clock",
    "Emulator",
    "Faults",
    "Fleet",
    "FleetSettings",
    "Instance",
    "Interval",
    "run",
]
