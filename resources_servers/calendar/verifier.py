"""Calendar verifier: is the calendar written in an answer the one that the conversation asked for?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from nemo_gym.parsers.json_text import LIST_OF_OBJECTS, json_values
from resources_servers.calendar.constraint import clock, parse_start_time
from resources_servers.calendar.task import ExpectedEvent

_EMPTY_LIST = re.compile(r"\[\s*\]")
_MOST_NAMED = 5
"""So many ids or mistakes of one kind are named; an answer may hold thousands."""


class Verdict(StrEnum):
    """What the first mistake in an answer is, in the order in which they are looked for."""

    CORRECT = "correct"
    NO_ANSWER = "no_answer"
    THINKING_LEFT = "thinking_left"
    """`<think>` stands in the text: the answer was not separated from the reasoning."""
    NO_CALENDAR = "no_calendar"
    WRONG_EVENTS = "wrong_events"
    """Events are missing, unknown, listed twice, or their fields are not what they should be."""
    OVERLAP = "overlap"
    WRONG_DURATION = "wrong_duration"
    OUTSIDE_WINDOW = "outside_window"
    CONSTRAINT_BROKEN = "constraint_broken"
    WRONG_NAME = "wrong_name"


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, in words for people."""

    verdict: Verdict
    text: str
    event_id: str | None = None


@dataclass(frozen=True)
class Event:
    """One event as the answer lists it; times in minutes."""

    start: int
    duration: float
    name: str | None

    @property
    def end(self) -> float:
        return self.start + self.duration


@dataclass(frozen=True)
class Grade:
    """What was found in one answer."""

    mistakes: tuple[Mistake, ...]
    listed: frozenset[str] = frozenset()
    """Ids of the expected events that the answer lists in readable form."""

    @property
    def correct(self) -> bool:
        return not self.mistakes

    @property
    def verdict(self) -> Verdict:
        return self.mistakes[0].verdict if self.mistakes else Verdict.CORRECT


def grade_answer(
    text: str | None, expected: Mapping[str, ExpectedEvent], *, compare_names: bool = False, partial: bool = False
) -> Grade:
    """Hold the first calendar in `text` (None: no answer) against the expected events.

    `partial` is for an earlier turn whose own expected calendar is not known: only the expected events that it lists
    are looked at, without their constraints, which may have come later. Never raises, whatever the text.
    """
    if text is None or not text.strip():
        return Grade((Mistake(Verdict.NO_ANSWER, "there is no answer"),))
    if "<think>" in text:
        return Grade((Mistake(Verdict.THINKING_LEFT, "the answer still holds <think>"),))
    calendar = find_calendar(text)
    if calendar is None:
        missing = bool(expected) and not partial
        return Grade((Mistake(Verdict.NO_CALENDAR, "the answer holds no JSON list of events"),) if missing else ())
    events, mistakes = _read_events(calendar, expected, ignore_unknown=partial)
    if not partial and (absent := [event_id for event_id in expected if event_id not in events]):
        mistakes.append(Mistake(Verdict.WRONG_EVENTS, f"missing: {_named(absent)}"))
    mistakes += _overlaps(events)
    for event_id, event in events.items():
        mistakes += _event_mistakes(event_id, event, expected[event_id], names=compare_names, constraints=not partial)
    order = list(Verdict)
    mistakes.sort(key=lambda mistake: order.index(mistake.verdict))
    return Grade(tuple(mistakes), frozenset(events))


def find_calendar(text: str) -> list[object] | None:
    """The first JSON list in `text` whose first entry is an object; else `[]` if there is an empty list; else None."""
    for found in json_values(text, LIST_OF_OBJECTS):
        if isinstance(found, list):
            return found
    return [] if _EMPTY_LIST.search(text) else None


def _read_events(
    calendar: list[object], expected: Mapping[str, ExpectedEvent], *, ignore_unknown: bool
) -> tuple[dict[str, Event], list[Mistake]]:
    """The expected events that the calendar lists, by id, and what is wrong with its entries."""
    events: dict[str, Event] = {}
    unknown: list[str] = []
    twice: list[str] = []
    unreadable: list[Mistake] = []
    seen: set[str] = set()
    for position, entry in enumerate(calendar):
        event_id = _event_id(entry)
        if event_id is not None and event_id in seen:
            twice.append(event_id)
        elif event_id is not None and event_id not in expected:
            unknown.append(event_id)
        elif isinstance(event := _read_event(entry), Event) and event_id is not None:
            events[event_id] = event
        elif len(unreadable) < _MOST_NAMED:
            what = "has no integer `event_id`" if event_id is None else event
            unreadable.append(Mistake(Verdict.WRONG_EVENTS, f"entry {position} {what}", event_id))
        if event_id is not None:
            seen.add(event_id)
    mistakes = unreadable
    if unknown and not ignore_unknown:
        mistakes.append(Mistake(Verdict.WRONG_EVENTS, f"nobody asked for: {_named(unknown)}"))
    if twice:
        mistakes.append(Mistake(Verdict.WRONG_EVENTS, f"listed more than once: {_named(twice)}"))
    return events, mistakes


def _event_id(entry: object) -> str | None:
    """The entry's id as text; an id written as a JSON string of digits is taken for the number."""
    value = entry.get("event_id") if isinstance(entry, dict) else None
    if isinstance(value, str):
        return value.strip().encode("utf-8", "replace").decode()  # lone surrogates cannot be sent
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _read_event(entry: object) -> Event | str:
    """The event, or what is wrong with the entry."""
    if not isinstance(entry, dict):
        return "is no object"
    start_time, duration, name = entry.get("start_time"), entry.get("duration"), entry.get("event_name")
    if not isinstance(start_time, str):
        return "has no `start_time` text"
    if not isinstance(duration, int | float) or isinstance(duration, bool):
        return "has no `duration` number"
    try:
        return Event(parse_start_time(start_time), duration, name if isinstance(name, str) else None)
    except ValueError as error:
        return f"has a bad `start_time`: {error}"


def _overlaps(events: Mapping[str, Event]) -> Iterator[Mistake]:
    by_start = sorted(events.items(), key=lambda pair: (pair[1].start, pair[1].end))
    longest: tuple[str, Event] | None = None
    for event_id, event in by_start:
        if longest is not None and event.start < longest[1].end:
            text = f"event {event_id} starts at {clock(event.start)}, while event {longest[0]} goes on"
            yield Mistake(Verdict.OVERLAP, text, event_id)
        if longest is None or event.end > longest[1].end:
            longest = event_id, event


def _event_mistakes(
    event_id: str, event: Event, expected: ExpectedEvent, *, names: bool, constraints: bool
) -> Iterator[Mistake]:
    place = f"event {event_id} (at {clock(event.start)}, {event.duration:g} min)"
    if event.duration != expected.duration:
        yield Mistake(Verdict.WRONG_DURATION, f"{place} should take {expected.duration} min", event_id)
    if event.start < expected.min_minute or event.end > expected.max_minute:
        window = f"{expected.min_time} to {expected.max_time}"
        yield Mistake(Verdict.OUTSIDE_WINDOW, f"{place} is not within {window}", event_id)
    constraint = expected.parsed_constraint() if constraints else None
    if constraint is not None and not constraint.holds(event.start, expected.duration):
        yield Mistake(Verdict.CONSTRAINT_BROKEN, f"{place} breaks `{constraint.text}`", event_id)
    if names and expected.event_name is not None and _plain(event.name or "") != _plain(expected.event_name):
        yield Mistake(Verdict.WRONG_NAME, f"{place} should be named {expected.event_name!r}", event_id)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _named(event_ids: list[str]) -> str:
    shown = ", ".join(event_id[:40] for event_id in event_ids[:_MOST_NAMED])
    return f"event {shown}" + (f" and {len(event_ids) - _MOST_NAMED} more" if len(event_ids) > _MOST_NAMED else "")
