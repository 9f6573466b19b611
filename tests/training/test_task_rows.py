"""Task rows survive a trainer's dataset, whatever their fields, and take its sampling parameters."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.errors import DataError
from nemo_gym.training.task_rows import TASK_ROW, dataset_row, task_row_of, with_sampling
from tests.rows import row_asking

ROW = row_asking("Where?", tools=("look",), answer={"nested": [1, None, "é"]}, _rowidx=4)


def test_a_row_comes_back_as_it_was() -> None:
    column = dataset_row(ROW, env_class="gym")
    assert column["env_class"] == "gym" and isinstance(column[TASK_ROW], str)
    assert task_row_of(column, 0) == ROW


def test_the_prompt_is_the_rows_messages_as_text() -> None:
    given = [
        {
            "role": "developer",
            "content": [{"type": "input_text", "text": "Be "}, {"type": "input_text", "text": "brief."}],
        },
        {"role": "user", "content": "Where?"},
        {"type": "function_call_output", "call_id": "c", "output": "here"},
    ]
    row = {"responses_create_params": {"instructions": "Answer.", "input": given}}
    assert dataset_row(row)["prompt"] == [
        {"role": "system", "content": "Answer."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Where?"},
    ]
    assert dataset_row({"responses_create_params": {"input": "hi"}})["prompt"] == [{"role": "user", "content": "hi"}]


def test_the_agent_is_given_to_rows_that_name_none() -> None:
    ours = {"type": "responses_api_agents", "name": "ours"}
    assert task_row_of(dataset_row(ROW), 0, agent_name="ours")["agent_ref"] == ours
    own = ROW | {"agent_ref": {"type": "responses_api_agents", "name": "own"}}
    assert task_row_of(dataset_row(own), 0, agent_name="ours") == own


@pytest.mark.parametrize("fields", [{}, {TASK_ROW: None}, {TASK_ROW: "{"}, {TASK_ROW: "[]"}, {TASK_ROW: dict(ROW)}])
def test_fields_without_a_task_row_are_refused_with_the_way_to_make_one(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"the trainer's batch:7: .*dataset_row"):
        task_row_of(fields, 7)


def test_what_is_no_task_row_is_refused() -> None:
    with pytest.raises(DataError, match="no `responses_create_params`"):
        dataset_row({"prompt": "hi"})


def test_a_trainers_sampling_parameters_get_our_names_and_win() -> None:
    row = {"responses_create_params": {"input": "hi", "temperature": 0.1, "top_p": 0.5}}
    given = {
        "temperature": 0.7,
        "max_tokens": 64,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.1,
        "stop": None,
        "logprobs": 1,
        "min_tokens": 1,
        "skip_special_tokens": True,
    }
    assert with_sampling(row, given)["responses_create_params"] == {
        "input": "hi",
        "temperature": 0.7,
        "top_p": 0.5,
        "max_output_tokens": 64,
        "repetition_penalty": 1.1,
    }
    assert row["responses_create_params"]["temperature"] == 0.1
