import json
from pathlib import Path

import pytest

from nemo_gym.prepare import make_rows, run_prepare, write_rows
from resources_servers.calendar.constraint import parse_start_time
from resources_servers.calendar.prepare import EXAMPLE, MOST_EVENTS, make_row
from resources_servers.calendar.scheduler import schedule
from resources_servers.calendar.task import CalendarTask
from resources_servers.calendar.verifier import find_calendar, grade_answer

ROWS = list(make_rows(make_row, num_rows=200, seed=7))


def test_the_train_sample_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    committed = EXAMPLE.with_name("train_sample.jsonl")
    run_prepare(make_row, EXAMPLE, ["--num-rows", "40", "--seed", "1", "--output", str(tmp_path / "rows.jsonl")])
    assert (tmp_path / "rows.jsonl").read_bytes() == committed.read_bytes()


def test_more_rows_extend_the_file_and_another_seed_changes_it(tmp_path: Path) -> None:
    def rows(num_rows: int, seed: int) -> list[str]:
        write_rows(make_rows(make_row, num_rows=num_rows, seed=seed), tmp_path / "rows.jsonl")
        return (tmp_path / "rows.jsonl").read_text().splitlines()

    assert rows(8, 0)[:5] == rows(5, 0)
    assert rows(5, 0) != rows(5, 1)


def test_every_row_can_be_solved_and_ends_with_the_users_request() -> None:
    for row in ROWS:
        task = CalendarTask.model_validate(row)
        assert schedule(task.final_state) is not None
        assert len(task.final_state) <= MOST_EVENTS
        assert row["responses_create_params"]["input"][-1]["role"] == "user"


def test_the_assistant_turns_of_a_row_are_calendars_without_overlap() -> None:
    for row in ROWS:
        for item in row["responses_create_params"]["input"][1:]:
            if item["role"] != "assistant":
                continue
            calendar = find_calendar(item["content"])
            assert calendar is not None
            spans = sorted((parse_start_time(e["start_time"]), e["duration"]) for e in calendar)  # type: ignore[index]
            ends = [start + duration for start, duration in spans]
            assert all(end <= start for end, (start, _) in zip(ends, spans[1:], strict=False))


def test_repeating_the_last_calendar_often_fails_so_that_rows_must_be_read() -> None:
    passed = 0
    for row in ROWS:
        last = row["responses_create_params"]["input"][-2]["content"]
        passed += grade_answer(last, CalendarTask.model_validate(row).final_state).correct
    assert passed < len(ROWS) / 2


def test_rows_are_varied() -> None:
    kinds = {(event["constraint"] or "none").split()[0] for row in ROWS for event in row["exp_cal_state"].values()}
    assert kinds == {"none", "before", "after", "between", "at"}
    assert any(not row["exp_cal_state"] for row in ROWS), "some calendars end empty"
    requests = {json.dumps(row["responses_create_params"]["input"]) for row in ROWS}
    assert len(requests) == len(ROWS)


def test_a_wrong_number_of_rows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_prepare(make_row, EXAMPLE, ["--num-rows", "0"])
    assert "at least 1" in capsys.readouterr().err
