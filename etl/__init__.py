"""demeter: what ran in a ModelArts project, for how long, and at what cost."""

__version__ = "0.1.0"
