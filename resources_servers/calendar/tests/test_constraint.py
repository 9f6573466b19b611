import pytest

from resources_servers.calendar.constraint import clock, parse_constraint, parse_start_time, parse_time, spoken


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("11am", 660),
        ("2:15pm", 855),
        ("12pm", 720),
        ("12:45pm", 765),
        ("12am", 0),
        ("12:30am", 30),
        ("1 PM", 780),
        ("4:05 p.m.", 965),
        ("14:30", 870),
        ("00:00", 0),
        ("24:00", 1440),
        ("noon", 720),
        ("midnight", 0),
    ],
)
def test_a_time_of_day_is_read_as_minutes_after_midnight(text: str, minutes: int) -> None:
    assert parse_time(text) == minutes


@pytest.mark.parametrize("text", ["", "11", "25:00", "24:01", "13pm", "0am", "2:60pm", "11:5am", "eleven", "٣pm"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        parse_time(text)


def test_midnight_ends_the_day_where_it_ends_a_span() -> None:
    assert parse_constraint("between 10pm and midnight").latest_end == 1440
    assert parse_constraint("before 12am").latest_end == 1440
    assert parse_constraint("after midnight").earliest_start == 0
    assert parse_constraint("at midnight").exact_start == 0


@pytest.mark.parametrize(
    ("constraint", "start", "duration", "holds"),
    [
        ("before 11am", 600, 60, True),
        ("before 11am", 601, 60, False),
        ("after 2:15pm", 855, 30, True),
        ("after 2:15pm", 854, 30, False),
        ("between 10am and 12:45pm", 600, 165, True),
        ("between 10am and 12:45pm", 599, 30, False),
        ("between 10am and 12:45pm", 736, 30, False),
        ("at 1pm", 780, 30, True),
        ("at 1pm", 781, 30, False),
        ("before noon", 690, 30, True),
        ("Between  10 AM and\tNoon", 600, 120, True),
    ],
)
def test_a_constraint_holds_up_to_its_very_minute(constraint: str, start: int, duration: int, holds: bool) -> None:
    assert parse_constraint(constraint).holds(start, duration) is holds


@pytest.mark.parametrize(
    "text", ["", "before", "at lunch", "between 1pm", "between 2pm and 1pm", "11am", "x" * 100_000]
)
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_constraint(text)


@pytest.mark.parametrize("text", ["", "10", "10:5", "24:00", "10:60", "-1:30", "10:00:00", "1" * 100_000])
def test_a_start_time_is_a_24_hour_clock_time(text: str) -> None:
    assert parse_start_time("9:30") == parse_start_time("09:30") == 570
    with pytest.raises(ValueError):
        parse_start_time(text)


def test_spoken_and_clock_times_are_read_back_as_they_were() -> None:
    for minutes in range(0, 1440, 5):
        assert parse_time(spoken(minutes)) == parse_time(clock(minutes)) == minutes
