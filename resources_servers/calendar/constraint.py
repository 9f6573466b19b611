"""Constraints on when an event may take place, read from words: `before 11am`, `between 10am and 12:45pm`."""

from __future__ import annotations

import re
from dataclasses import dataclass

DAY_MIN = 24 * 60

_CLOCK = re.compile(r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?\s*(?P<half>[ap]\.?m\.?)?", re.ASCII)
_KINDS = re.compile(r"(?P<kind>before|after|at)\s+(?P<time>.+)|between\s+(?P<start>.+?)\s+and\s+(?P<end>.+)", re.ASCII)
_LONGEST = 80


@dataclass(frozen=True)
class Constraint:
    """When an event may start and end, in minutes after midnight; None where that side is open."""

    text: str
    earliest_start: int | None = None
    latest_end: int | None = None
    exact_start: int | None = None

    def holds(self, start: int, duration: int) -> bool:
        """Whether an event that starts at `start` and takes `duration` minutes keeps it."""
        if self.exact_start is not None and start != self.exact_start:
            return False
        if self.earliest_start is not None and start < self.earliest_start:
            return False
        return self.latest_end is None or start + duration <= self.latest_end


def parse_constraint(text: str) -> Constraint:
    """The constraint that `text` states; raises ValueError for anything but the four forms.

    `before T`: ends at or before T. `after T`: starts at or after T. `between T and U`: both. `at T`: starts at T.
    """
    match = _KINDS.fullmatch(" ".join(text[:_LONGEST].lower().split())) if len(text) <= _LONGEST else None
    if match is None:
        forms = "`before T`, `after T`, `between T and U`, `at T`"
        raise ValueError(f"{text[:_LONGEST]!r} is no constraint; the forms are {forms} with times like 11am or 2:15pm")
    if match["kind"] is None:
        start, end = parse_time(match["start"]), parse_time(match["end"], is_end=True)
        if end <= start:
            raise ValueError(f"{text!r} ends before it starts")
        return Constraint(text, earliest_start=start, latest_end=end)
    if match["kind"] == "before":
        return Constraint(text, latest_end=parse_time(match["time"], is_end=True))
    if match["kind"] == "after":
        return Constraint(text, earliest_start=parse_time(match["time"]))
    return Constraint(text, exact_start=parse_time(match["time"]))


def parse_time(text: str, *, is_end: bool = False) -> int:
    """Minutes after midnight of `11am`, `2:15 pm`, `14:30`, `noon` or `midnight`; raises ValueError for others.

    Midnight is 0, or the end of the day (1440) where it ends a span. `24:00` is the end of the day.
    """
    word = text.strip().lower()
    if word in ("midnight", "12am", "12 am", "12:00am", "12:00 am"):
        return DAY_MIN if is_end else 0
    if word == "noon":
        return 12 * 60
    match = _CLOCK.fullmatch(word)
    if match is None or (match["half"] is None and match["minute"] is None):
        raise ValueError(f"{text!r} is no time of day; write 11am, 2:15pm, 14:30, noon or midnight")
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    if match["half"] is not None:
        valid = 1 <= hour <= 12
        hour = hour % 12 + (12 if match["half"].startswith("p") else 0)
    else:
        valid = hour < 24 or (hour == 24 and minute == 0)
    if not valid or minute > 59:
        raise ValueError(f"{text!r} is no time of day; write 11am, 2:15pm, 14:30, noon or midnight")
    return hour * 60 + minute


def parse_start_time(text: str) -> int:
    """Minutes after midnight of a 24-hour `HH:MM`; raises ValueError for others."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip(), re.ASCII) if len(text) <= _LONGEST else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"{text[:_LONGEST]!r} is no 24-hour time like 09:30")
    return int(match[1]) * 60 + int(match[2])


def clock(minutes: int) -> str:
    """`HH:MM` of minutes after midnight."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def spoken(minutes: int) -> str:
    """The time as people say it: 660 is `11am`, 735 is `12:15pm`."""
    hour, minute = divmod(minutes, 60)
    half = "am" if hour % 24 < 12 else "pm"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02d}' if minute else ''}{half}"
