"""Everything that can go wrong, sorted by what the reader does next.

DemeterError            1  a defect in demeter: report it
├── UsageError          2  mend the command or the settings
├── IncompleteListing   3  run again; what came is kept and marked
├── CheckFailed         4  look at the named rows
├── Refused             5  mend the credentials or the permissions
├── ServiceUnavailable  6  the service or the network gave out: run again later
└── LakeBusy            7  wait for the other run
"""

from __future__ import annotations


class DemeterError(Exception):
    """An error with a one-line message that says what to do next, and an exit status."""

    exit_status = 1


class UsageError(DemeterError):
    """The command line, a setting or a file given by the user is wrong."""

    exit_status = 2


class IncompleteListing(DemeterError):
    """A listing could not be proven complete."""

    exit_status = 3


class CheckFailed(DemeterError):
    """A check of the data failed."""

    exit_status = 4


class Refused(DemeterError):
    """The service answered 401 or 403."""

    exit_status = 5


class ServiceUnavailable(DemeterError):
    """The service or the network gave out after the retries."""

    exit_status = 6


class LakeBusy(DemeterError):
    """Another run holds what this one needs."""

    exit_status = 7


KINDS = (UsageError, IncompleteListing, CheckFailed, Refused, ServiceUnavailable, LakeBusy)


def rebuilt(exit_status: int, said: str) -> DemeterError | None:
    """The error of that exit status, as another process told of it; None where it is 0."""
    known = {kind.exit_status: kind for kind in KINDS}
    return known.get(exit_status, DemeterError)(said) if exit_status else None
