"""Scheduler: places events so that windows and constraints hold and nothing overlaps, or says that it cannot."""

from __future__ import annotations

from collections.abc import Mapping

from resources_servers.calendar.task import ExpectedEvent

MAX_EVENTS = 16
"""Above it the search, which visits each subset of the events once, would take too long."""


def schedule(events: Mapping[str, ExpectedEvent]) -> dict[str, int] | None:
    """A start for each event, in minutes after midnight, or None if there is no way.

    Exact: of all orders in which a set of events can be done, only the one that ends earliest matters for those that
    follow, so one value per subset settles the question (2**n * n steps). Raises ValueError above MAX_EVENTS.
    """
    ids = list(events)
    if len(ids) > MAX_EVENTS:
        raise ValueError(f"{len(ids)} events; at most {MAX_EVENTS} can be scheduled")
    spans = [(event.earliest_start, event.latest_end, event.duration) for event in events.values()]
    ends: dict[int, int] = {0: 0}  # subset done (bit mask) -> earliest end
    last: dict[int, int] = {}  # subset done -> the event that comes last in that order
    for subset in range(1 << len(ids)):
        if subset not in ends:
            continue
        for index, (earliest, latest_end, duration) in enumerate(spans):
            end = max(ends[subset], earliest) + duration
            grown = subset | 1 << index
            if grown != subset and end <= latest_end and end < ends.get(grown, end + 1):
                ends[grown], last[grown] = end, index
    subset = (1 << len(ids)) - 1
    if subset not in ends:
        return None
    starts: dict[str, int] = {}
    while subset:
        index = last[subset]
        starts[ids[index]] = ends[subset] - spans[index][2]
        subset &= ~(1 << index)
    return {event_id: starts[event_id] for event_id in ids}
