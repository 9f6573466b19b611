"""The toy tokenizer: prompts extend one another exactly, and every log-probability can be computed again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.reference_policies import function_call, message, reasoning
from nemo_gym.testclient import InProcessGym
from responses_api_models.scripted_model.app import ScriptedModel
from responses_api_models.scripted_model.toy_tokens import (
    BEGIN,
    END,
    KINDS,
    STOP,
    decode,
    generation_ids,
    log_prob,
    log_probs_of,
    prompt_ids,
    reasoning_ids,
)


def test_a_prompt_is_the_bytes_of_its_items_between_their_markers() -> None:
    ids = prompt_ids({"input": "hé", "instructions": "x"})
    assert ids == [BEGIN, KINDS["system"], ord("x"), END, KINDS["user"], *"hé".encode(), END]
    assert decode(ids) == "xhé"


def test_every_item_kind_is_encoded_and_a_call_that_wrote_nothing_still_stops() -> None:
    output = [reasoning("hm"), message("a"), {**function_call("add", {"n": 1}), "call_id": "c"}]
    assert decode(generation_ids(output)) == 'hmaadd({"n": 1})'
    assert reasoning_ids(output) == [KINDS["reasoning"], *b"hm", END]
    assert generation_ids([]) == [STOP]


def test_the_distribution_adds_up_to_one_after_every_id() -> None:
    for previous in (0, 65, BEGIN, STOP):
        total = sum(math.exp(log_prob(previous, token, vocab_size=300, seed=3)) for token in range(300))
        assert total == pytest.approx(1.0)
    assert log_prob(1, 2, seed=0) != log_prob(1, 2, seed=1)


async def test_prompts_extend_one_another_exactly_and_log_probs_can_be_computed_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from nemo_gym.reference_policies import function_call, reasoning\n"
        "def answer(turn):\n"
        "    return 'done' if turn.step == 3 else [reasoning('hm'), function_call('add', {'step': turn.step})]\n"
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"responses_create_params": {"input": "go"}}))
    tools = [{"type": "function", "name": "add"}]
    items: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    seen: list[int] = []
    async with InProcessGym() as gym:
        settings = {"tokens": {"enabled": True, "vocab_size": 400, "seed": 9}, "rows_fpaths": [str(rows)]}
        gym.add("policy", ScriptedModel, policy=f"{tmp_path}/mine.py:answer", environment=[], **settings)
        for _ in range(4):
            answer = await gym.client.post("policy", "/v1/responses", {"input": items, "tools": tools})
            output = answer.parse()["output"]
            last = output[-1]
            assert [item.get("generation_token_ids") for item in output[:-1]] == [None] * (len(output) - 1)
            prompt, generated = last["prompt_token_ids"], last["generation_token_ids"]
            assert prompt[: len(seen)] == seen
            seen = prompt + generated
            assert last["generation_log_probs"] == log_probs_of(prompt, generated, vocab_size=400, seed=9)
            assert len(answer.parse()["output"]) and answer.parse()["usage"]["input_tokens"] == len(prompt)
            items += output
            if last["type"] == "function_call":
                items.append({"type": "function_call_output", "call_id": last["call_id"], "output": "ok"})
    assert decode(seen).endswith("done")
    # The same conversation, encoded anew from its text alone, gives the same ids.
    plain = [{key: value for key, value in item.items() if "token" not in key} for item in items]
    assert decode(prompt_ids({"input": plain, "tools": tools})) == decode(seen)
