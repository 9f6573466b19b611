import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.parsers import json_text
from nemo_gym.parsers.json_text import MAX_FAILED_STARTS
from resources_servers.calendar.task import ExpectedEvent
from resources_servers.calendar.verifier import Verdict, find_calendar, grade_answer

EXPECTED = {
    "0": ExpectedEvent(duration=60, constraint="before 11:30am", min_time="10:00", max_time="16:00"),
    "1": ExpectedEvent(duration=30, constraint="at 1pm", min_time="10:00", max_time="16:00"),
    "2": ExpectedEvent(duration=45, min_time="10:00", max_time="16:00"),
}


def entry(event_id: Any, start_time: Any, duration: Any, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "event_name": "x", "start_time": start_time, "duration": duration, **more}


RIGHT = [entry(0, "10:00", 60), entry(1, "13:00", 30), entry(2, "13:30", 45)]


def verdict(calendar: Any) -> Verdict:
    return grade_answer(json.dumps(calendar), EXPECTED).verdict


def changed(position: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**one, **fields} if index == position else one for index, one in enumerate(RIGHT)]


def test_a_calendar_that_keeps_everything_is_correct_in_any_order_and_with_text_around_it() -> None:
    assert verdict(RIGHT) is Verdict.CORRECT
    assert verdict(RIGHT[::-1]) is Verdict.CORRECT
    text = f"Sure [as always]!\n```json\n{json.dumps(RIGHT, indent=2)}\n```\nAnything else? [y/n]"
    assert grade_answer(text, EXPECTED).correct


@pytest.mark.parametrize(
    ("calendar", "expected"),
    [
        (RIGHT[:2], Verdict.WRONG_EVENTS),
        ([*RIGHT, entry(3, "15:00", 30)], Verdict.WRONG_EVENTS),
        ([*RIGHT, RIGHT[0]], Verdict.WRONG_EVENTS),
        (changed(2, event_id=7), Verdict.WRONG_EVENTS),
        (changed(2, start_time="13:15"), Verdict.OVERLAP),
        (changed(2, duration=30), Verdict.WRONG_DURATION),
        (changed(2, start_time="15:30"), Verdict.OUTSIDE_WINDOW),
        (changed(2, start_time="09:00"), Verdict.OUTSIDE_WINDOW),
        (changed(0, start_time="10:45"), Verdict.CONSTRAINT_BROKEN),
        (changed(1, start_time="12:45"), Verdict.CONSTRAINT_BROKEN),
    ],
)
def test_each_kind_of_mistake_has_its_verdict(calendar: Any, expected: Verdict) -> None:
    assert verdict(calendar) is expected


def test_a_mistake_names_the_event_and_the_constraint_that_it_breaks() -> None:
    grade = grade_answer(json.dumps(changed(0, start_time="10:45")), EXPECTED)
    assert [mistake.text for mistake in grade.mistakes] == ["event 0 (at 10:45, 60 min) breaks `before 11:30am`"]


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": None},
        {"event_id": True},
        {"event_id": []},
        {"event_id": 0.5},
        {"event_id": "\ud800"},
        {"start_time": None},
        {"start_time": 600},
        {"start_time": "10am"},
        {"start_time": "10:00\n" * 1000},
        {"duration": "60"},
        {"duration": None},
        {"duration": True},
        {"duration": {}},
    ],
)
def test_fields_of_the_wrong_type_are_mistakes_and_never_raise(fields: dict[str, Any]) -> None:
    grade = grade_answer(json.dumps(changed(0, **fields)), EXPECTED)
    assert grade.verdict is Verdict.WRONG_EVENTS
    "".join(mistake.text for mistake in grade.mistakes).encode()


@pytest.mark.parametrize("calendar", [[{}], [{"event_id": 0}, None, 5, "x", []], [{"a": [[[]]]}]])
def test_entries_that_are_no_events_are_mistakes_and_never_raise(calendar: Any) -> None:
    assert verdict(calendar) is Verdict.WRONG_EVENTS


def test_an_id_as_text_and_a_duration_as_a_whole_float_count_as_numbers() -> None:
    assert verdict(changed(0, event_id="0", duration=60.0)) is Verdict.CORRECT


def test_thinking_left_in_the_text_earns_nothing_even_beside_the_right_calendar() -> None:
    assert grade_answer(f"<think>Hm.</think>{json.dumps(RIGHT)}", EXPECTED).verdict is Verdict.THINKING_LEFT
    assert grade_answer("<think>", {}).verdict is Verdict.THINKING_LEFT


def test_an_expected_empty_calendar_needs_an_empty_list_or_none_but_an_answer() -> None:
    assert grade_answer("[]", {}).correct
    assert grade_answer("Your day is free: [ ]", {}).correct
    assert grade_answer("Your day is free.", {}).correct
    assert grade_answer(json.dumps(RIGHT), {}).verdict is Verdict.WRONG_EVENTS
    assert grade_answer("  ", {}).verdict is Verdict.NO_ANSWER
    assert grade_answer(None, {}).verdict is Verdict.NO_ANSWER


def test_no_list_and_an_empty_list_are_wrong_where_events_are_expected() -> None:
    assert grade_answer("All done.", EXPECTED).verdict is Verdict.NO_CALENDAR
    assert grade_answer("[]", EXPECTED).verdict is Verdict.WRONG_EVENTS


def test_the_first_list_counts_and_not_a_later_right_one() -> None:
    assert not grade_answer(json.dumps(RIGHT[:1]) + json.dumps(RIGHT), EXPECTED).correct


def test_a_to_do_box_or_broken_list_before_the_calendar_does_not_hide_it() -> None:
    for before in ("- [ ] buy milk\n", "[{broken} ", '[{"event_id": 0, ', "[see [1], [2]] "):
        assert find_calendar(before + json.dumps(RIGHT)) == RIGHT


def test_names_are_compared_only_when_asked_for_and_up_to_case_and_spaces() -> None:
    expected = {"1": ExpectedEvent(event_name="Team Meeting", start_time="10:00", duration=60)}
    right = json.dumps([entry("1", "10:00", 60, event_name=" team  meeting")])
    wrong = json.dumps([entry(1, "10:00", 60, event_name="Lunch")])
    assert grade_answer(right, expected, compare_names=True).correct
    assert grade_answer(wrong, expected, compare_names=True).verdict is Verdict.WRONG_NAME
    assert grade_answer(wrong, expected).correct
    late = json.dumps([entry(1, "10:15", 60, event_name="Team Meeting")])
    assert grade_answer(late, expected, compare_names=True).verdict is Verdict.CONSTRAINT_BROKEN


class CountingDecoder(json.JSONDecoder):
    """Counts how many characters could have been read: each attempt reads to the end of the text at most."""

    characters = 0

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        self.characters += len(s) - idx
        return super().raw_decode(s, idx)


SIZE = 200_000
ADVERSARIAL = {
    "brackets": "[" * SIZE,
    "open objects": "[{" * (SIZE // 2),
    "nested lists of objects": '[{"a":' * (SIZE // 6),
    "padded nesting": ('[{"p":"' + "x" * 5_000 + '","a":') * (SIZE // 5_000),
    "events without end": '[{"event_id":0},' + '{"event_id":0},' * (SIZE // 15),
    "many broken lists": '[{"event_id":0,}] ' * (SIZE // 18),
    "open strings": '[{"\\"' * (SIZE // 5),
    "spaces": ("[" + " " * 1_000) * (SIZE // 1_000),
    "empty lists": "[]" * (SIZE // 2),
    "digits": '[{"event_id":' + "9" * SIZE + "}]",
    "thousands of events": "[" + ",".join(['{"event_id":1,"start_time":"10:00","duration":5}'] * (SIZE // 50)) + "]",
    "thousands of unknown ids": "[" + ",".join(f'{{"event_id":{i}}}' for i in range(SIZE // 20)) + "]",
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_work_grows_linearly_with_the_text_whatever_it_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = CountingDecoder()
    monkeypatch.setattr(json_text, "_DECODER", decoder)
    text = ADVERSARIAL[name]
    grade = grade_answer(text, EXPECTED)
    assert not grade.correct
    assert decoder.characters <= MAX_FAILED_STARTS * len(text)
    assert sum(len(mistake.text) for mistake in grade.mistakes) < 2_000, "explanations stay short"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
entries = st.fixed_dictionaries(
    {}, optional={"event_id": json_values | st.integers(0, 2), "start_time": json_values, "duration": json_values}
)


@given(st.lists(entries, max_size=5))
def test_no_list_of_objects_makes_the_verifier_raise(calendar: list[dict[str, Any]]) -> None:
    assert grade_answer(json.dumps(calendar), EXPECTED).verdict in Verdict


@given(st.text(alphabet='[]{}",:\\ 0aé<'))
def test_no_text_makes_the_verifier_raise(text: str) -> None:
    assert not grade_answer(text, EXPECTED).correct
