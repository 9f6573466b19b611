"""Calendar task row: the events that a conversation must have led to, beside the conversation itself."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from resources_servers.calendar.constraint import Constraint, clock, parse_constraint, parse_start_time, parse_time


class ExpectedEvent(BaseModel):
    """One event that the calendar must hold, and when it may take place."""

    model_config = ConfigDict(extra="allow", frozen=True)

    event_id: int | str | None = None
    """As the key under which the event stands in its state; repeated for readers."""
    event_name: str | None = None
    duration: int = Field(gt=0)
    """Minutes."""
    constraint: str | None = None
    """`before 11am`, `after 2:15pm`, `between 10am and 12:45pm`, `at 1pm`, or none."""
    start_time: str | None = None
    """24-hour `HH:MM`: the one start that is right. Stands in for a constraint."""
    min_time: str = "00:00"
    """The event starts no earlier, 24-hour `HH:MM`."""
    max_time: str = "24:00"
    """The event ends no later, 24-hour `HH:MM`."""

    @model_validator(mode="after")
    def _times_can_be_read(self) -> Self:
        self.parsed_constraint()
        if self.min_minute >= self.max_minute:
            raise ValueError(f"min_time {self.min_time} is not before max_time {self.max_time}")
        return self

    def parsed_constraint(self) -> Constraint | None:
        """The constraint as minutes; a fixed `start_time` counts as `at` that time."""
        if self.start_time is not None:
            start = parse_start_time(self.start_time)
            return Constraint(f"at {clock(start)}", exact_start=start)
        return None if self.constraint is None else parse_constraint(self.constraint)

    @property
    def min_minute(self) -> int:
        return parse_time(self.min_time)

    @property
    def max_minute(self) -> int:
        return parse_time(self.max_time, is_end=True)

    @property
    def earliest_start(self) -> int:
        """Minutes after midnight, window and constraint together."""
        constraint = self.parsed_constraint()
        bounds = () if constraint is None else (constraint.earliest_start, constraint.exact_start)
        return max([self.min_minute, *(bound for bound in bounds if bound is not None)])

    @property
    def latest_end(self) -> int:
        """Minutes after midnight, window and constraint together."""
        constraint, ends = self.parsed_constraint(), [self.max_minute]
        if constraint is not None and constraint.latest_end is not None:
            ends.append(constraint.latest_end)
        if constraint is not None and constraint.exact_start is not None:
            ends.append(constraint.exact_start + self.duration)
        return min(ends)


ExpectedState = dict[str, ExpectedEvent]
"""The expected calendar: event id (as text) to event. Empty: the calendar must be empty."""


class CalendarTask(BaseModel):
    """The fields that a calendar row adds to `responses_create_params`. Exactly one of the first two is given."""

    model_config = ConfigDict(extra="allow")

    exp_cal_state: ExpectedState | None = None
    """What the calendar must be like at the end: durations, windows and constraints. Names are not compared."""
    expected_state: ExpectedState | None = None
    """The calendar at the end to the letter: start times, and names up to case and spaces."""
    turn_exp_cal_states: list[ExpectedState] | None = None
    """The expected calendar after each assistant turn, those of the row's own conversation included."""

    @model_validator(mode="after")
    def _one_expected_state(self) -> Self:
        if (self.exp_cal_state is None) == (self.expected_state is None):
            raise ValueError("a calendar row needs `exp_cal_state` or `expected_state`, and not both")
        return self

    @property
    def final_state(self) -> ExpectedState:
        state = self.exp_cal_state if self.exp_cal_state is not None else self.expected_state
        assert state is not None  # held by the validator
        return state

    @property
    def compares_names(self) -> bool:
        return self.expected_state is not None
