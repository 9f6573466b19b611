"""Several actions in one turn: `Right || Down || Down`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Actions:
    """What a line of actions says."""

    names: tuple[str, ...]
    """The actions, by their proper names, in order: those before the first unknown word, up to the limit."""
    unknown: str | None = None
    """The first word that is no action (its first 40 characters); nothing after it was read."""
    num_dropped: int = 0
    """Actions beyond the limit."""

    @property
    def well_formed(self) -> bool:
        """Whether there is at least one action and nothing else, within the limit."""
        return bool(self.names) and self.unknown is None and self.num_dropped == 0


def read_actions(
    text: str,
    actions: Iterable[str],
    *,
    aliases: Mapping[str, str] | None = None,
    separator: str = "||",
    max_actions: int | None = None,
    ignore_case: bool = True,
) -> Actions:
    """The actions that `text` lists.

    `actions` are the proper names, `aliases` other words for them (`{"r": "Right"}`). Space around a word, and a
    separator at the end, do not count. A text without any word has no names and nothing unknown.
    """

    def key(word: str) -> str:
        return word.strip().casefold() if ignore_case else word.strip()

    known = {key(name): name for name in actions} | {key(word): name for word, name in (aliases or {}).items()}
    words = text.strip().removesuffix(separator).split(separator) if text.strip() else []
    names: list[str] = []
    num_dropped = 0
    for word in words:
        name = known.get(key(word))
        if name is None:
            return Actions(tuple(names), word.strip()[:40], num_dropped)
        if max_actions is not None and len(names) >= max_actions:
            num_dropped += 1
        else:
            names.append(name)
    return Actions(tuple(names), None, num_dropped)
