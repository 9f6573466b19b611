import itertools
import random

import pytest

from resources_servers.calendar.scheduler import schedule
from resources_servers.calendar.task import ExpectedEvent


def event(duration: int, constraint: str | None = None) -> ExpectedEvent:
    return ExpectedEvent(duration=duration, constraint=constraint, min_time="10:00", max_time="12:00")


def by_brute_force(events: dict[str, ExpectedEvent]) -> bool:
    """Whether some order works in which each event starts as early as it may."""
    for order in itertools.permutations(events.values()):
        end = 0
        for one in order:
            end = max(end, one.earliest_start) + one.duration
            if end > one.latest_end:
                break
        else:
            return True
    return not events


def test_a_schedule_is_found_exactly_when_one_exists() -> None:
    rng = random.Random(3)
    forms = (None, "before 11am", "after 10:45am", "at 11:15am", "between 10:15am and 11:30am")
    found = 0
    for _ in range(300):
        events = {str(i): event(rng.choice((15, 30, 45)), rng.choice(forms)) for i in range(rng.randint(0, 5))}
        starts = schedule(events)
        assert (starts is not None) is by_brute_force(events)
        if starts is None:
            continue
        found += 1
        spans = sorted((start, start + events[i].duration) for i, start in starts.items())
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
        for i, start in starts.items():
            assert events[i].earliest_start <= start and start + events[i].duration <= events[i].latest_end
    assert 50 < found < 290, "the cases must hold both kinds"


def test_too_many_events_are_refused_rather_than_searched_for_ever() -> None:
    with pytest.raises(ValueError, match="at most 16"):
        schedule({str(i): event(5) for i in range(17)})
