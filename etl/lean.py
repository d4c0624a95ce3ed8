"""What a process of demeter's own does without: packages that Arrow loads if they are there."""

from __future__ import annotations

import sys

# No command needs them, and they take longer to load than all that it does need.
LEFT_OUT = ("numpy", "pandas")


class _Absent:
    """Finds none of these packages."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"no command of demeter needs {name}", name=name)


def leave_out() -> None:
    """Let this process load none of them from now on, for as long as it lasts."""
    sys.meta_path.insert(0, _Absent)
