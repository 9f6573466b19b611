"""The plan: which rollouts, in which order, with which keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.errors import DataError
from nemo_gym.prompt import PromptConfig
from nemo_gym.rollouts.plan import Plan, PlanOptions, write_plan

AGENTS = ["agent_a", "agent_b"]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    rows: list[dict[str, Any]] = [
        {"responses_create_params": {"input": text, "temperature": 1.0}, "truth": text} for text in "xyz"
    ]
    rows[1]["agent_ref"] = {"name": "agent_b"}
    rows[2]["_ng_task_index"] = 99  # left over from an earlier run
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    return path


def planned(tasks: Path, **options: Any) -> tuple[Plan, list[dict[str, Any]]]:
    plan = write_plan(tasks, tasks.with_name("plan.jsonl"), PlanOptions(**{"agent_name": "agent_a"} | options), AGENTS)
    return plan, [row for _, row in plan.rows()]


def test_a_prompt_makes_the_input_of_rows_that_have_none(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"question": "2 + 2?"}\n{"question": "3?", "responses_create_params": {"temperature": 0.5}}\n')
    _, rows = planned(tasks, prompt=PromptConfig(system="Count.", user="Answer: {question}"))
    messages = [{"role": "system", "content": "Count."}, {"role": "user", "content": "Answer: 2 + 2?"}]
    assert rows[0]["responses_create_params"] == {"input": messages}
    assert rows[1]["responses_create_params"]["temperature"] == 0.5


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ('{"answer": 4}', "2: the prompt needs the field `question`, which the row lacks; its fields are `answer`"),
        ('{"question": "x", "responses_create_params": {"input": "y"}}', "2: the prompt is for rows without"),
    ],
)
def test_a_row_that_a_prompt_cannot_be_made_for_is_named(tmp_path: Path, row: str, mistake: str) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"question": "2 + 2?"}\n' + row)
    with pytest.raises(DataError) as caught:
        planned(tasks, prompt=PromptConfig(user="{question}"))
    assert mistake in str(caught.value)


def test_repeats_of_a_task_stand_together(tasks: Path) -> None:
    plan, rows = planned(tasks, num_repeats=2)
    assert "".join(row["truth"] for row in rows) == "xxyyzz"
    keys = [(row["_ng_task_index"], row["_ng_rollout_index"]) for row in rows]
    assert keys == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert [plan.position(*key) for key in keys] == list(range(plan.size))
    assert plan.position(3, 0) is None
    assert plan.position(0, 2) is None


def test_a_rows_own_agent_wins_over_the_agent_named_for_all(tasks: Path) -> None:
    _, rows = planned(tasks)
    assert [row["agent_ref"] for row in rows] == [
        {"type": "responses_api_agents", "name": name} for name in ("agent_a", "agent_b", "agent_a")
    ]


def test_request_parameters_are_set_over_each_rows_own(tasks: Path) -> None:
    _, rows = planned(tasks, responses_create_params={"temperature": 0.5, "top_p": 0.9})
    assert rows[0]["responses_create_params"] == {"input": "x", "temperature": 0.5, "top_p": 0.9}


def test_a_limit_takes_the_first_rows(tasks: Path) -> None:
    plan, rows = planned(tasks, limit=2)
    assert [row["truth"] for row in rows] == ["x", "y"]
    assert plan.num_tasks == 2


def test_rollout_ids_are_the_same_each_time_and_differ_from_each_other(tasks: Path) -> None:
    ids = [row["_ng_rollout_id"] for row in planned(tasks, num_repeats=2)[1]]
    assert ids == [row["_ng_rollout_id"] for row in planned(tasks, num_repeats=2)[1]]
    assert len(set(ids)) == len(ids)
    assert ids[0] == planned(tasks, limit=1)[1][0]["_ng_rollout_id"]  # whatever else is in the plan
    assert ids[0] != planned(tasks, responses_create_params={"temperature": 0})[1][0]["_ng_rollout_id"]


def test_skipped_places_are_not_yielded(tasks: Path) -> None:
    plan, _ = planned(tasks)
    assert [place for place, _ in plan.rows(bytearray([1, 0, 1]))] == [1]


def test_rows_without_any_agent_are_refused_with_those_that_run(tasks: Path) -> None:
    with pytest.raises(DataError, match=r"2 bad rows.*\n.*lines 1 and 3: names no agent.*`agent_a`, `agent_b`"):
        planned(tasks, agent_name=None)


def test_a_row_for_an_agent_that_does_not_run_is_refused(tasks: Path) -> None:
    with pytest.raises(DataError, match=r"tasks.jsonl:2: no agent `agent_b` is running; did you mean `agent_a`"):
        write_plan(tasks, tasks.with_name("plan.jsonl"), PlanOptions(agent_name="agent_a"), ["agent_a"])


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"\n\n")
    with pytest.raises(DataError, match="nothing to run"):
        write_plan(empty, tmp_path / "plan.jsonl", PlanOptions(agent_name="agent_a"), AGENTS)


def test_a_plan_that_was_changed_by_hand_is_refused(tasks: Path) -> None:
    plan, _ = planned(tasks)
    lines = plan.path.read_bytes().splitlines(keepends=True)
    plan.path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(DataError, match="not the row that was written here"):
        list(plan.rows())
    plan.path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(DataError, match="2 lines instead of 3"):
        list(plan.rows())
