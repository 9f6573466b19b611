"""The scripted model server: policies, recordings, latency, tokens; served in this process, called as agents do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import ConfigError, DataError, ReferencePolicyError
from nemo_gym.reference_policies import split_model_calls
from nemo_gym.testclient import InProcessGym
from responses_api_models.scripted_model.app import ScriptedModel

Json = dict[str, Any]
POLICIES = """
from nemo_gym.reference_policies import function_call, message, reasoning, tool_outputs

def oracle(turn):
    return turn.row["answer"] if turn.row else "unknown"

def adder(turn):
    outputs = tool_outputs(turn)
    if outputs:
        return f"the sum is {outputs[-1]}"
    return [reasoning("I add."), function_call("add", {"a": 1, "b": 2}), function_call("add", {"a": 3, "b": 4})]

def random(turn):
    return str(turn.rng.random())

POLICIES = {"oracle": oracle, "random": random, "adder": adder}
"""
SERVERS = Path(__file__).resolve().parents[3] / "resources_servers"
ROW = {"responses_create_params": {"input": "What is 2 + 2?"}, "answer": "4"}


def read_lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        yield gym


@pytest.fixture
def files(tmp_path: Path) -> Json:
    (tmp_path / "policies.py").write_text(POLICIES)
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    return {"policies_fpath": str(tmp_path / "policies.py"), "rows_fpaths": [str(tmp_path / "rows.jsonl")]}


async def ask(gym: InProcessGym, request_input: Any = "What is 2 + 2?", *, rollout: str = "", **params: Any) -> Json:
    headers = {"x-ng-rollout-id": rollout} if rollout else None
    answer = await gym.client.post("policy", "/v1/responses", {"input": request_input, **params}, headers=headers)
    assert answer.ok, answer.text
    return answer.parse()


def text_of(response: Json) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


async def test_the_oracle_answers_from_the_row(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, **files)
    assert text_of(await ask(gym)) == "4"


async def test_a_tool_call_is_answered_over_two_steps(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, policy="adder", **files)
    first = await ask(gym)
    assert [item["type"] for item in first["output"]] == ["reasoning", "function_call", "function_call"]
    calls = first["output"][1:]
    assert len({call["call_id"] for call in calls}) == 2
    outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "7"} for call in calls]
    question = {"role": "user", "content": "What is 2 + 2?"}
    assert text_of(await ask(gym, [question, *first["output"], *outputs])) == "the sum is 7"


async def test_chat_completions_plays_the_same(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, policy="adder", **files)
    body = {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "model": "x"}
    [choice] = (await gym.client.post("policy", "/v1/chat/completions", body)).parse()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["add", "add"]
    assert choice["message"]["reasoning_content"] == "I add."


async def test_a_rollout_named_by_its_path_is_the_same_as_one_named_by_header(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, policy="random", **files)
    by_header = text_of(await ask(gym, rollout="r1"))
    again = await gym.client.post("policy", "/ng-rollout/r2/v1/responses", {"input": "What is 2 + 2?"})
    assert text_of(again.parse()) != by_header


async def test_a_mixture_gives_the_same_set_of_answers_in_every_run(files: Json) -> None:
    async def answers(seed: int) -> Counter[str]:
        async with InProcessGym() as gym:
            gym.add("policy", ScriptedModel, policy={"oracle": 0.5, "random": 0.5}, seed=seed, **files)
            return Counter([text_of(await ask(gym, rollout=f"r{index}")) for index in range(20)])

    first = await answers(0)
    assert first == await answers(0)
    assert first != await answers(1)
    assert 1 < first["4"] < 19


async def test_a_policy_may_be_a_function_in_a_file_or_module(gym: InProcessGym, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def answer(turn):\n    return f'step {turn.step}'\n")
    gym.add("policy", ScriptedModel, policy=f"{tmp_path}/mine.py:answer", environment=[])
    assert text_of(await ask(gym, "anything")) == "step 0"


async def test_without_environment_the_policies_of_the_runs_environments_are_played(gym: InProcessGym) -> None:
    for name in ("calendar", "example_multi_reward"):
        gym.add(f"my_{name}", SERVERS / name)
    gym.add("policy", ScriptedModel)
    for name in ("calendar", "example_multi_reward"):
        row = read_lines(SERVERS / name / "data" / "example.jsonl")[0]
        answer = await gym.client.post("policy", "/v1/responses", row["responses_create_params"])
        assert answer.parse()["output"]


async def test_usage_counts_toy_tokens_and_settings_are_echoed(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, **files)
    response = await ask(gym, temperature=0.5)
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert response["temperature"] == 0.5
    assert response["output"][-1].get("generation_token_ids") is None


async def test_a_prompt_longer_than_the_context_is_refused_as_engines_refuse_it(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, context_length=10, **files)
    answer = await gym.client.post("policy", "/v1/responses", {"input": "What is 2 + 2?"})
    assert (answer.status, answer.parse()["error"]["code"]) == (400, "context_length_exceeded")


async def test_stream_is_refused_in_words(gym: InProcessGym, files: Json) -> None:
    gym.add("policy", ScriptedModel, **files)
    answer = await gym.client.post("policy", "/v1/responses", {"input": "hi", "stream": True})
    assert answer.status == 400
    assert "stream" in answer.text


async def test_drawn_latencies_follow_their_distribution_and_are_never_negative() -> None:
    async with InProcessGym() as gym:
        server = gym.add("policy", ScriptedModel, policy="json:dumps", latency_s={"mean": 0.1, "std": 0.2})
        drawn = [server._draw_latency_s() for _ in range(500)]
    assert min(drawn) == 0.0
    assert 0.1 < sum(drawn) / len(drawn) < 0.2


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"policy": "oracel"}, "did you mean `oracle`"),
        ({"policy": "recorded"}, "recordings_fpath"),
        ({"policy": "oracle", "policies_fpath": "no/such.py"}, "no such file"),
        ({"policy": "oracle", "policies_fpath": None}, "set `environment`"),
        ({"policies_fpath": None, "environment": "calender"}, "did you mean `calendar`"),
    ],
)
async def test_a_model_that_cannot_play_says_why_before_it_serves(
    gym: InProcessGym, files: Json, settings: Json, named: str
) -> None:
    with pytest.raises(ReferencePolicyError, match=named):
        gym.add("policy", ScriptedModel, **{**files, **settings})


async def test_a_line_that_is_no_row_is_named(gym: InProcessGym, files: Json, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n{}\n")
    with pytest.raises(DataError, match=r"rows\.jsonl:2: has no `responses_create_params`"):
        gym.add("policy", ScriptedModel, **files)


@pytest.mark.parametrize(
    "settings",
    [{"latency_s": -1.0}, {"faults": {"http_500": 0.6, "hang": 0.6}}, {"tokens": {"vocab_size": 3}}, {"x": 1}],
)
async def test_settings_that_make_no_sense_are_refused(gym: InProcessGym, settings: Json) -> None:
    with pytest.raises(ConfigError):
        gym.add("policy", ScriptedModel, **settings)


# ------------------------------------------------------------------------------------------------------- recordings

CALL = {"type": "function_call", "name": "add", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "output": "3"}


def recording(prompt: str, *output: Json) -> Json:
    return {"responses_create_params": {"input": prompt}, "response": {"output": list(output)}}


def said(text: str) -> Json:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def with_recordings(tmp_path: Path, *recordings: Json) -> Json:
    (tmp_path / "recorded.jsonl").write_text("".join(json.dumps(each) + "\n" for each in recordings))
    return {"policy": "recorded", "recordings_fpath": str(tmp_path / "recorded.jsonl")}


async def test_each_model_call_replays_its_part_of_the_recording(gym: InProcessGym, tmp_path: Path) -> None:
    calls = [{**CALL, "call_id": "a"}, {**CALL, "call_id": "b"}]
    outputs = [{**OUTPUT, "call_id": "a"}, {**OUTPUT, "call_id": "b"}]
    gym.add("policy", ScriptedModel, **with_recordings(tmp_path, recording("q", *calls, *outputs, said("3"))))
    first = await ask(gym, "q")
    assert [item["call_id"] for item in first["output"]] == ["a", "b"]
    second = await ask(gym, [{"role": "user", "content": "q"}, *first["output"], *outputs])
    assert text_of(second) == "3"


async def test_repeats_of_a_prompt_replay_its_recordings_in_turn(gym: InProcessGym, tmp_path: Path) -> None:
    settings = with_recordings(
        tmp_path, recording("q", said("1")), recording("q", said("2")), recording("p", said("3"))
    )
    gym.add("policy", ScriptedModel, **settings)
    assert [text_of(await ask(gym, "q", rollout=f"r{index}")) for index in range(3)] == ["1", "2", "1"]


async def test_an_answer_that_was_not_recorded_is_refused_with_the_nearest_prompt(
    gym: InProcessGym, tmp_path: Path
) -> None:
    gym.add("policy", ScriptedModel, **with_recordings(tmp_path, recording("What is 1 + 1?", said("2"))))
    answer = await gym.client.post("policy", "/v1/responses", {"input": "What is 1 + 2?"})
    assert (answer.status, answer.parse()["error"]["code"]) == (400, "no_answer")
    assert "'What is 1 + 1?'" in answer.text
    beyond = [{"role": "user", "content": "What is 1 + 1?"}, said("2"), {"role": "user", "content": "and now?"}]
    assert "model call 2" in (await gym.client.post("policy", "/v1/responses", {"input": beyond})).text


FIXTURES = Path(__file__).resolve().parents[4] / "shared" / "fixtures" / "nemo_gym"
RECORDED_FILES = sorted([*FIXTURES.glob("*/example_rollouts.jsonl"), *FIXTURES.glob("*/recorded.jsonl")])


@pytest.mark.skipif(not RECORDED_FILES, reason=f"no recorded rollouts at {FIXTURES}")
@pytest.mark.parametrize("path", RECORDED_FILES, ids=lambda path: path.parent.name)
async def test_rollouts_of_real_models_are_replayed_item_by_item(gym: InProcessGym, path: Path) -> None:
    gym.add("policy", ScriptedModel, policy="recorded", recordings_fpath=str(path))
    for number, rollout in enumerate(read_lines(path)):
        params, recorded = rollout["responses_create_params"], rollout["response"]["output"]
        settings = {key: params[key] for key in ("tools", "instructions") if params.get(key)}
        items, replayed, rest = list(params["input"]), [], list(recorded)
        for _ in split_model_calls(recorded):
            output = (await ask(gym, items, rollout=f"r{number}", **settings))["output"]
            rest = rest[len(output) :]
            tool_outputs = []
            while rest and rest[0]["type"] == "function_call_output":
                tool_outputs.append(rest.pop(0))
            items += [*output, *tool_outputs]
            replayed += [*output, *tool_outputs]
        assert [_essence(item) for item in replayed] == [_essence(item) for item in recorded]


def _essence(item: Json) -> Json:
    return {key: value for key, value in item.items() if value is not None}
