"""What a process of demeter's own does without: packages that Arrow loads if they are there."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# No command needs them, and they take longer to load than all that it does need. But Spark needs NumPy.
LEFT_OUT = ("numpy", "pandas")
WITH_SPARK = ("pandas",)


class _Absent:
    """Refuses to load these packages, also to who only asks whether they are there."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self._names:
            raise ModuleNotFoundError(f"no command of demeter needs {name}", name=name)


def leave_out() -> None:
    """Let this process load none of them from now on, for as long as it lasts."""
    sys.meta_path.insert(0, _Absent(WITH_SPARK if find_spec("pyspark") else LEFT_OUT))
