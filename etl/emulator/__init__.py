"""A faithful listing service with its own clock and faults, for tests, the demo and benchmarks."""

from etl.emulator.answers import ERRORS, Answer
from etl.emulator.clock import Clock
from etl.emulator.emulator import Emulator
from etl.emulator.faults import Faults

__all__ = ["ERRORS", "Answer", "Clock", "Emulator", "Faults"]
