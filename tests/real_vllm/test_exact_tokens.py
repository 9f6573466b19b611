"""Prompts of ids before a real vLLM: one sequence a rollout, scored again by vLLM; and new weights, as trainers do."""

from __future__ import annotations

import json
import math
import os
import subprocess
from itertools import pairwise
from typing import Any

import pytest
from openai import BadRequestError

from nemo_gym.converters import to_chat_request
from nemo_gym.schemas.prompt_ids import with_whole_prompts
from nemo_gym.schemas.responses import ResponseCreateParams
from nemo_gym.training.trajectory import trajectory_of
from tests.real_vllm.conftest import BIN, EXACT_STEPS, KEY, PYTHON, ROOT, RealVLLM

Json = dict[str, Any]

TOLERANCE = 1e-4
"""Between the log-prob of a token when it was sampled and when it is scored again in one go."""
SAMPLING: Any = {"temperature": 1.0, "top_p": 1.0}
SYNONYM = {"type": "string", "pattern": "^[A-Z][a-z]{2,11}$"}
ROWS = 3
FORCED: Any = {"type": "function", "name": "get_synonym_value"}
END = "<|im_end|>"
CONTEXT = 8192


class Talk:
    """A conversation with the model in one rollout."""

    def __init__(self, run: RealVLLM, rollout: str) -> None:
        self.client = run.client.with_options(default_headers={"x-ng-rollout-id": rollout})
        self.items: list[Json] = []

    def say(self, text: str, **params: Any) -> Any:
        self.items.append({"role": "user", "content": text})
        asked: Any = self.items
        answer = self.client.responses.create(model="any", input=asked, **{**SAMPLING, **params})
        self.items += [item.model_dump(exclude_none=True) for item in answer.output]
        return answer

    @property
    def calls(self) -> list[Json]:
        return [item for item in self.items if "generation_token_ids" in item]

    def check_one_sequence(self) -> None:
        for before, call in pairwise(self.calls):
            seen = before["prompt_token_ids"] + before["generation_token_ids"]
            assert call["prompt_token_ids"][: len(seen)] == seen


def id_of(run: RealVLLM, text: str) -> int:
    [only] = run.ask_vllm("/tokenize", prompt=text, add_special_tokens=False)["tokens"]
    return int(only)


def scored_again(run: RealVLLM, ids: list[int]) -> list[float]:
    """Log-prob of each id but the first, by one pass of vLLM over all of them."""
    answer = run.ask_vllm("/v1/completions", prompt=ids, max_tokens=1, temperature=1.0, top_p=1.0, prompt_logprobs=0)
    scores = answer["choices"][0]["prompt_logprobs"][1:]
    return [score[str(token)]["logprob"] for token, score in zip(ids[1:], scores, strict=True)]


def stock_goes_on(run: RealVLLM, items: list[Json], tools: list[Json] | None = None) -> list[bool]:
    """Of each later call: whether the chat route's prompt for the same conversation goes on from what was sampled."""
    kwargs = {"enable_thinking": False}
    goes_on, seen = [], None
    for index, item in enumerate(items):
        if "generation_token_ids" not in item:
            continue
        if seen is not None:
            asked = ResponseCreateParams.model_validate({"input": items[:index], "tools": tools or []})
            body = to_chat_request(asked).model_dump(include={"messages", "tools"}, exclude_none=True)
            prompt = run.ask_vllm("/tokenize", **body, chat_template_kwargs=kwargs)["tokens"]
            goes_on.append(prompt[: len(seen)] == seen)
        seen = item["prompt_token_ids"] + item["generation_token_ids"]
    return goes_on


def test_rollouts_with_tools_are_one_sequence_each_which_stock_vllm_does_not_keep(exact_vllm: RealVLLM) -> None:
    rows = (ROOT / "resources_servers/example_multi_step/data/example.jsonl").read_text().splitlines()[:ROWS]
    asked = exact_vllm.folder / "rows.jsonl"
    with asked.open("w") as file:
        for row in map(json.loads, rows):
            for tool in row["responses_create_params"]["tools"]:
                tool["strict"] = True
                tool["parameters"]["properties"] |= {"synonym": SYNONYM} if tool["name"] == FORCED["name"] else {}
            row["responses_create_params"] |= {"tool_choice": FORCED, "max_output_tokens": 400, **SAMPLING}
            file.write(json.dumps(row) + "\n")
    command = [str(BIN / "ng_collect_rollouts"), "+agent_name=example_multi_step_simple_agent"]
    files = [f"+input_jsonl_fpath={asked}", "+output_jsonl_fpath=results/exact.jsonl"]
    subprocess.run([*command, *files], cwd=exact_vllm.folder, env=dict(os.environ), check=True, timeout=500)
    results = [json.loads(line) for line in (exact_vllm.folder / "results/exact.jsonl").read_text().splitlines()]
    assert len(results) == len(rows)
    kept: list[list[bool]] = []
    for result in results:
        trajectory = trajectory_of(result)
        [segment] = trajectory.segments
        assert len(segment.calls) == EXACT_STEPS
        params = result["responses_create_params"]
        items = [*params["input"], *with_whole_prompts(result["response"]["output"])]
        kept.append(stock_goes_on(exact_vllm, items, params["tools"]))
    lost = sum(not goes_on for rollout in kept for goes_on in rollout)
    first = [rollout.index(False) + 2 if False in rollout else None for rollout in kept]
    print(f"stock chat route: {lost} of {sum(map(len, kept))} prompts do not go on; first at calls {first}")  # noqa: T201
    assert lost > len(results)


def test_log_probs_of_twelve_turns_are_those_of_one_pass_over_the_whole_sequence(exact_vllm: RealVLLM) -> None:
    talk = Talk(exact_vllm, "scored")
    for turn in range(12):
        talk.say(f"Question {turn}", max_output_tokens=24)
    talk.check_one_sequence()
    last = talk.calls[-1]
    whole = last["prompt_token_ids"] + last["generation_token_ids"]
    scores = [0.0, *scored_again(exact_vllm, whole)]
    worst, sampled = 0.0, 0
    for call in talk.calls:
        start = len(call["prompt_token_ids"])
        end = start + len(call["generation_token_ids"])
        assert whole[start:end] == call["generation_token_ids"]
        differences = [abs(a - b) for a, b in zip(call["generation_log_probs"], scores[start:end], strict=True)]
        worst, sampled = max(worst, *differences), sampled + len(differences)
    print(f"{sampled} ids of 12 turns: log-probs differ from one pass over all by {worst:.1e} at most")  # noqa: T201
    assert worst < TOLERANCE
    kept = stock_goes_on(exact_vllm, talk.items)
    print(f"stock chat route: {kept.count(False)} of {len(kept)} prompts do not go on")  # noqa: T201
    assert False in kept


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_log_probs_are_of_the_distribution_at_the_temperature(exact_vllm: RealVLLM, temperature: float) -> None:
    """vLLM gives the whole vocabulary's scores at temperature 1; from those the others follow."""
    call = Talk(exact_vllm, f"t{temperature}")
    call.say("Hello", max_output_tokens=20, temperature=temperature)
    [item] = call.calls
    prompt, generated = item["prompt_token_ids"], item["generation_token_ids"]
    answer = exact_vllm.ask_vllm(
        "/v1/completions", prompt=prompt + generated, max_tokens=1, temperature=1.0, top_p=1.0, prompt_logprobs=-1
    )
    scores = answer["choices"][0]["prompt_logprobs"][len(prompt) :]
    for token, log_prob, score in zip(generated, item["generation_log_probs"], scores, strict=True):
        scaled = {name: entry["logprob"] / temperature for name, entry in score.items()}
        total = math.log(sum(math.exp(value) for value in scaled.values()))
        assert abs(log_prob - (scaled[str(token)] - total)) < TOLERANCE


def test_an_end_token_is_sampled_and_no_text(exact_vllm: RealVLLM) -> None:
    end, letter = id_of(exact_vllm, END), id_of(exact_vllm, "q")
    talk = Talk(exact_vllm, "end")
    answer = talk.say("Hello", extra_body={"allowed_token_ids": [end, letter]}, max_output_tokens=200)
    [item] = talk.calls
    assert item["generation_token_ids"][-1] == end
    assert answer.output_text == "q" * (len(item["generation_token_ids"]) - 1)
    assert answer.status == "completed"


def test_an_empty_answer_has_the_end_token_alone(exact_vllm: RealVLLM) -> None:
    talk = Talk(exact_vllm, "empty")
    answer = talk.say("Hello", extra_body={"allowed_token_ids": [id_of(exact_vllm, END)]})
    assert answer.output_text == ""
    assert talk.calls[0]["generation_token_ids"] == [id_of(exact_vllm, END)]
    talk.say("And?", max_output_tokens=5)
    talk.check_one_sequence()


def test_a_stop_string_is_sampled_and_no_text(exact_vllm: RealVLLM) -> None:
    letters = [id_of(exact_vllm, letter) for letter in "qz"]
    talk = Talk(exact_vllm, "stop")
    answer = talk.say("Hello", extra_body={"allowed_token_ids": letters, "stop": ["qz"]}, max_output_tokens=400)
    [item] = talk.calls
    written = exact_vllm.ask_vllm("/detokenize", tokens=item["generation_token_ids"])["prompt"]
    assert written == f"{answer.output_text}qz"
    assert "qz" not in answer.output_text
    assert answer.status == "completed"
    talk.say("Go on", max_output_tokens=5)
    talk.check_one_sequence()


def test_an_answer_that_was_cut_is_closed_by_the_next_prompt(exact_vllm: RealVLLM) -> None:
    talk = Talk(exact_vllm, "cut")
    letter = id_of(exact_vllm, "q")
    answer = talk.say("Hello", extra_body={"allowed_token_ids": [letter]}, max_output_tokens=7)
    assert (answer.status, answer.output_text) == ("incomplete", "q" * 7)
    talk.say("Go on", max_output_tokens=5)
    talk.check_one_sequence()
    prompt = exact_vllm.ask_vllm("/detokenize", tokens=talk.calls[1]["prompt_token_ids"])["prompt"]
    assert prompt.endswith(f"{'q' * 7}{END}\n<|im_start|>user\nGo on{END}\n<|im_start|>assistant\n")


@pytest.mark.parametrize("length", [CONTEXT, 100_000])
def test_a_prompt_that_does_not_fit_is_refused(exact_vllm: RealVLLM, length: int) -> None:
    with pytest.raises(BadRequestError) as refused:
        Talk(exact_vllm, f"long{length}").say("\u0001" * length)
    assert refused.value.code == "context_length_exceeded"


def test_the_same_request_again_has_the_same_answer(exact_vllm: RealVLLM) -> None:
    answers = [Talk(exact_vllm, "again").say("Hello", max_output_tokens=20) for _ in range(2)]
    assert answers[0].model_dump() == answers[1].model_dump()
    other = Talk(exact_vllm, "other").say("Hello", max_output_tokens=20)
    assert other.output != answers[0].output


def test_what_vllm_refuses_keeps_its_words(exact_vllm: RealVLLM) -> None:
    with pytest.raises(BadRequestError, match="min_p must be in"):
        Talk(exact_vllm, "refused").say("Hello", extra_body={"min_p": 7})


def publish(run: RealVLLM, seed: int, prompts: list[list[int]]) -> Any:
    assert PYTHON is not None
    script = ROOT / "tests/real_vllm/publish_weights.py"
    done = subprocess.run(
        [PYTHON, str(script), str(seed), str(run.folder / "tiny"), run.own_url, KEY, run.model_url],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        cwd=run.folder,  # where the run's token is found
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_new_weights_answer_from_the_next_call_on_and_say_so(exact_vllm: RealVLLM) -> None:
    question = "A question that is long enough to be kept in the prefix cache. " * 8
    before = Talk(exact_vllm, "weights")
    before.say(question, temperature=0.0, max_output_tokens=12)
    prompt = before.calls[0]["prompt_token_ids"]
    for version in (1, 2):
        [expected] = publish(exact_vllm, version, [prompt])
        after = Talk(exact_vllm, f"weights {version}")
        after.say(question, temperature=0.0, max_output_tokens=len(expected))
        [item] = after.calls
        assert item["prompt_token_ids"] == prompt
        assert item["generation_token_ids"] == expected != before.calls[0]["generation_token_ids"]
        assert item["policy_version"] == version


def test_tied_embeddings_are_refused(real_vllm: RealVLLM) -> None:
    refused = publish(real_vllm, 1, [])
    assert "tie_word_embeddings" in refused["error"]
