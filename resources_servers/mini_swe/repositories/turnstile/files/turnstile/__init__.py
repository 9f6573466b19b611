"""State machines."""

from turnstile.analysis import dead_ends, reachable, shortest_path
from turnstile.machine import ANY, Machine, NotAllowed

__all__ = ["ANY", "Machine", "NotAllowed", "dead_ends", "reachable", "shortest_path"]
