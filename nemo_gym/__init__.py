"""Reinforcement-learning environments for language-model agents, as independent HTTP servers.

Importing this package changes nothing and loads nothing: take names from its modules.
"""

__version__ = "0.1.0"
