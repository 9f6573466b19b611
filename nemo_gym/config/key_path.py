"""The place of a value in a configuration: `calendar.resources_servers.calendar.port`, `datasets[0].type`."""

from __future__ import annotations

from nemo_gym.config.shown import shown

KeyPath = tuple[str | int, ...]
"""Keys of mappings as text, indices of lists as numbers, outermost first."""


def dotted(path: KeyPath) -> str:
    """The place as users write and read it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")
