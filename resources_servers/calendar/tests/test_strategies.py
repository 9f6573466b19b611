import json
from typing import Any

import pytest
from pydantic import ValidationError

from resources_servers.calendar.strategies import Strategy, score
from resources_servers.calendar.task import CalendarTask

FIRST = {"0": {"event_id": 0, "duration": 60, "constraint": None, "min_time": "10:00", "max_time": "16:00"}}
FINAL = {
    "0": {"event_id": 0, "duration": 60, "constraint": "before noon", "min_time": "10:00", "max_time": "16:00"},
    "1": {"event_id": 1, "duration": 30, "constraint": "at 1pm", "min_time": "10:00", "max_time": "16:00"},
}


def listed(*events: tuple[int, str, int]) -> str:
    return json.dumps(
        [{"event_id": i, "event_name": "x", "start_time": start, "duration": d} for i, start, d in events]
    )


FIRST_RIGHT = listed((0, "14:00", 60))
BOTH_RIGHT = listed((0, "10:00", 60), (1, "13:00", 30))
ONE_BROKEN = listed((0, "11:30", 60), (1, "13:00", 30))


def task(**fields: Any) -> CalendarTask:
    return CalendarTask.model_validate({"exp_cal_state": FINAL, **fields})


@pytest.mark.parametrize(("answer", "reward"), [(BOTH_RIGHT, 1.0), (ONE_BROKEN, 0.0), ("", 0.0)])
def test_final_state_looks_at_the_last_calendar_only(answer: str, reward: float) -> None:
    result = score(task(), [], ["nonsense", answer], Strategy.FINAL_STATE)
    assert result.reward == reward
    assert result.components == {"final_state": reward}


def test_per_turn_is_the_share_of_right_turns_each_held_against_its_own_state() -> None:
    states = [FIRST, FINAL, FINAL]
    result = score(task(turn_exp_cal_states=states), [], [FIRST_RIGHT, ONE_BROKEN, BOTH_RIGHT], Strategy.PER_TURN)
    assert result.components == {"turn_0": 1 / 3, "turn_1": 0.0, "turn_2": 1 / 3}
    assert result.reward == pytest.approx(2 / 3)


def test_cumulative_weighs_later_turns_more() -> None:
    states = [FIRST, FINAL, FINAL]
    row = task(turn_exp_cal_states=states)
    late = score(row, [], ["", ONE_BROKEN, BOTH_RIGHT], Strategy.CUMULATIVE)
    early = score(row, [], [FIRST_RIGHT, ONE_BROKEN, ""], Strategy.CUMULATIVE)
    assert late.reward == pytest.approx(3 / 6)
    assert early.reward == pytest.approx(1 / 6)


def test_turns_that_never_came_count_as_wrong() -> None:
    row = task(turn_exp_cal_states=[FIRST, FINAL, FINAL])
    assert score(row, [], [FIRST_RIGHT], Strategy.PER_TURN).reward == 0.0, "the last state was never reached"
    assert score(row, [], [BOTH_RIGHT], Strategy.PER_TURN).reward == pytest.approx(1 / 3)
    assert score(row, [], [], Strategy.PER_TURN).reward == 0.0


def test_turns_that_the_row_brought_along_shift_the_states_and_earn_nothing() -> None:
    row = task(turn_exp_cal_states=[FIRST, FINAL])
    result = score(row, [FIRST_RIGHT], [BOTH_RIGHT], Strategy.PER_TURN)
    assert result.components == {"turn_0": 1.0}


def test_an_earlier_turn_without_a_state_of_its_own_is_held_against_what_is_certain() -> None:
    calendars = {FIRST_RIGHT: 1.0, listed((0, "14:00", 45)): 0.5, listed((0, "09:00", 60)): 0.5, "Noted.": 1.0}
    for first, reward in calendars.items():
        assert score(task(), [], [first, BOTH_RIGHT], Strategy.PER_TURN).reward == reward


def test_constraint_based_has_a_part_per_constraint_and_they_sum_to_the_reward() -> None:
    result = score(task(), [], [ONE_BROKEN], Strategy.CONSTRAINT_BASED)
    assert set(result.components) == {
        "all_events",
        "no_overlap",
        "durations",
        "window",
        "constraint_0",
        "constraint_1",
    }
    assert result.components["constraint_0"] == 0.0
    assert result.reward == pytest.approx(sum(result.components.values())) == pytest.approx(5 / 6)
    assert score(task(), [], [BOTH_RIGHT], Strategy.CONSTRAINT_BASED).reward == 1.0


@pytest.mark.parametrize("answer", ["", "[]", "Done.", "<think>" + BOTH_RIGHT, '[{"event_id": 9}]'])
def test_constraint_based_gives_nothing_for_events_that_are_not_there(answer: str) -> None:
    assert score(task(), [], [answer], Strategy.CONSTRAINT_BASED).reward == 0.0


def test_a_missing_event_keeps_the_constraints_of_the_others_only() -> None:
    result = score(task(), [], [listed((1, "13:00", 30))], Strategy.CONSTRAINT_BASED)
    assert {name for name, value in result.components.items() if value} == {"constraint_1"}


@pytest.mark.parametrize("strategy", Strategy)
def test_an_expected_empty_calendar_can_be_earned_and_missed_with_every_strategy(strategy: Strategy) -> None:
    empty = CalendarTask.model_validate({"exp_cal_state": {}})
    assert score(empty, [], ["[]"], strategy).reward == 1.0
    assert score(empty, [], [BOTH_RIGHT], strategy).reward == 0.0
    assert score(empty, [], [], strategy).reward == 0.0


def test_both_row_forms_are_read_and_a_row_needs_exactly_one() -> None:
    exact = {"1": {"event_name": "Team Meeting", "start_time": "10:00", "duration": 60}}
    row = CalendarTask.model_validate({"expected_state": exact})
    answer = '[{"event_id": 1, "event_name": "Team meeting", "start_time": "10:00", "duration": 60}]'
    assert score(row, [], [answer], Strategy.FINAL_STATE).reward == 1.0
    assert score(row, [], [answer.replace("10:00", "10:15")], Strategy.FINAL_STATE).reward == 0.0
    assert score(row, [], [answer.replace("meeting", "lunch")], Strategy.FINAL_STATE).reward == 0.0
    for wrong in ({}, {"expected_state": exact, "exp_cal_state": FINAL}):
        with pytest.raises(ValidationError, match="not both"):
            CalendarTask.model_validate(wrong)


@pytest.mark.parametrize(
    ("field", "value"), [("constraint", "soonish"), ("duration", 0), ("min_time", "17:00"), ("start_time", "10am")]
)
def test_a_row_whose_times_cannot_be_read_is_refused_rather_than_scored(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        CalendarTask.model_validate({"exp_cal_state": {"0": {**FIRST["0"], field: value}}})
