"""What demeter is measured against, in an environment of its own: nothing of demeter is in it."""
