"""Findings: the mistakes of one configuration, one per place, each with the file that its key came from."""

from __future__ import annotations

from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.tree import ConfigTree
from nemo_gym.errors import ConfigProblem


class Findings:
    """Collects mistakes while a configuration is resolved and checked."""

    def __init__(self, tree: ConfigTree, *, is_complete: bool = True) -> None:
        """`is_complete`: every file could be read. If not, what seems absent may stand in the others."""
        self.problems: list[ConfigProblem] = []
        self.is_complete = is_complete
        self._tree = tree
        self._places: set[KeyPath] = set()

    def add(self, path: KeyPath, message: str) -> None:
        """Say what is wrong at a place, unless something was said of it already."""
        if path not in self._places:
            self.problems.append(ConfigProblem(self._tree.origin(path), dotted(path), message))
            self._places.add(path)

    def add_absence(self, path: KeyPath, message: str) -> None:
        """Say that something is not there; kept quiet where a file that could not be read may hold it."""
        if self.is_complete:
            self.add(path, message)
        else:
            self.silence(path)

    def silence(self, path: KeyPath) -> None:
        """Nothing is to be said of this place: its mistake is one of another."""
        self._places.add(path)
