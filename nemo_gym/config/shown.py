"""A user's key or value as an error shows it: one line, printable, not endless."""

from __future__ import annotations

MAX_SHOWN = 80


def shown(value: object) -> str:
    """At most `MAX_SHOWN` characters; line breaks and other control characters become spaces."""
    text = "".join(character if character.isprintable() else " " for character in str(value))
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
