"""NeMo RL's part, played to the letter: it starts the servers, sends rows, learns from the tokens that come back."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from nemo_gym.cli import GlobalConfigDictParserConfig, RunHelper
from nemo_gym.errors import LaunchError, RolloutError
from nemo_gym.global_config import find_open_port
from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.schemas.prompt_ids import with_whole_prompts
from nemo_gym.server_utils import HEAD_SERVER_KEY_NAME, BaseServerConfig
from nemo_gym.serving.runs import live_runs
from tests.launch.toys import is_alive, processes_of
from tests.trainers.policy_rank import MAX_MODEL_LEN, TEMPERATURE, TOP_P, log_probs
from tests.trainers.ranks import ENVIRONMENTS, ROOT, ROWS, Json, Policy, rows_of, turns_of

pytestmark = pytest.mark.e2e

MODEL_SERVERS: dict[str, Json] = {
    "openai_model": {
        "config_paths": ["responses_api_models/openai_model/configs/openai_model.yaml"],
        "policy_model": {"responses_api_models": {"openai_model": {"api": "chat_completions"}}},
    },
    "vllm_model": {"config_paths": ["responses_api_models/vllm_model/configs/vllm_model_for_training.yaml"]},
}
AVAILABLE = [
    name for name, model in MODEL_SERVERS.items() if all((ROOT / path).exists() for path in model["config_paths"])
]


# ------------------------------------------------------------------------------------------------------ NeMo RL's part


class NemoGymActor:
    """What the trainer's actor does with a gym."""

    def __init__(self, base_urls: list[str], config: Json) -> None:
        self.head_server_port = find_open_port()
        initial = {
            **config,
            "policy_model_name": "policy",
            "policy_api_key": "dummy_key",
            "policy_base_url": base_urls,
            "global_aiohttp_connector_limit_per_host": 16_384,
            "ray_head_node_address": "127.0.0.1:6379",
            HEAD_SERVER_KEY_NAME: {"host": "0.0.0.0", "port": self.head_server_port},
        }
        self.run_helper = RunHelper()
        self.run_helper.start(
            global_config_dict_parser_config=GlobalConfigDictParserConfig(
                dotenv_path=Path("nemo_gym_env.yaml").absolute(),
                initial_global_config_dict=DictConfig(initial),
                skip_load_from_cli=True,
            )
        )
        self.head_server_config = BaseServerConfig(host="127.0.0.1", port=self.head_server_port)
        self.helper = RolloutCollectionHelper()

    async def run_rollouts(self, examples: list[Json]) -> dict[int, tuple[Json, list[Json]]]:
        """(result, message log) by `_rowidx`."""
        iterator = self.helper.run_examples(examples=examples, head_server_config=self.head_server_config)
        finished = {}
        for task in iterator:
            row, result = await task
            finished[row["_rowidx"]] = (result, message_log_of(result))
        return finished

    def shutdown(self) -> None:
        self.run_helper.shutdown()


def message_log_of(result: Json) -> list[Json]:
    """What it learns from; its own assertions."""
    log: list[Json] = []
    seen: list[int] = []
    for item in result["response"]["output"]:
        if "generation_token_ids" not in item:
            continue
        assert item["prompt_token_ids"][: len(seen)] == seen, "not contiguous"
        assert len(item["generation_token_ids"]) == len(item["generation_log_probs"])
        log.append({"role": "user", "token_ids": item["prompt_token_ids"][len(seen) :]})
        own = {"token_ids": item["generation_token_ids"], "generation_logprobs": item["generation_log_probs"]}
        log.append({"role": "assistant", **own})
        assert not any(map(math.isnan, item["generation_log_probs"]))
        seen = item["prompt_token_ids"] + item["generation_token_ids"]
    assert log, "no trainable item"
    return log


def examples(rows: list[Json], repeats: int = 1) -> list[Json]:
    """Rows as it sends them: numbered, with explicit sampling parameters."""
    sampling = {"temperature": TEMPERATURE, "top_p": TOP_P}
    repeated = [row for row in rows for _ in range(repeats)]
    return [
        row | {"_rowidx": number, "responses_create_params": row["responses_create_params"] | sampling}
        for number, row in enumerate(repeated)
    ]


def check(example: Json, result: Json, log: list[Json]) -> None:
    """The rollout is the one that was asked for, and its tokens are those that were sampled."""
    expected = turns_of(example)
    policy = [message for message in log if message["role"] == "assistant"]
    assert len(policy) == len(expected)
    seen: list[int] = []
    for number, (asked, answered) in enumerate(zip(log[::2], log[1::2], strict=True)):
        seen += asked["token_ids"]
        spelled = bytes(token for token in answered["token_ids"] if token < 256).decode()
        assert spelled.startswith(f"<think>step {number}</think>"), "what was sampled, in the spelling of sampling"
        assert answered["generation_logprobs"] == log_probs(seen, answered["token_ids"])
        seen += answered["token_ids"]
    assert result["_rowidx"] == example["_rowidx"]
    assert result["reward"] == (3.0 if "expected_call" in example else 1.0)
    if result.get("reward_components"):
        assert sum(result["reward_components"].values()) == pytest.approx(result["reward"])
    else:
        assert "expected_call" not in example
    if "totals" in example:
        assert [turn["reward"] for turn in result["turns"]] and result["mode"] == "multi_turn"


Start = Callable[..., NemoGymActor]


@pytest.fixture(params=AVAILABLE)
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts ranks and a gym in front of them."""
    monkeypatch.chdir(tmp_path)
    policies: list[Policy] = []
    actors: list[NemoGymActor] = []

    def make(num_ranks: int = 3, *, first_dies_after: int | None = None, **config: Any) -> NemoGymActor:
        policies.append(Policy(tmp_path, num_ranks, first_dies_after=first_dies_after))
        model = MODEL_SERVERS[request.param]
        environments = [f"resources_servers/{name}/configs/{name}.yaml" for name in ENVIRONMENTS]
        paths = {"config_paths": [*environments, *model["config_paths"]]}
        actors.append(NemoGymActor(policies[-1].base_urls, model | paths | config))
        return actors[-1]

    yield make
    for actor in actors:
        actor.shutdown()
    for policy in policies:
        policy.stop()


# --------------------------------------------------------------------------------------------------------------- tests


async def test_a_step_of_training_gets_contiguous_tokens_and_rewards(start: Start) -> None:
    actor = start()
    sent = examples(ROWS, repeats=4)
    finished = await actor.run_rollouts(sent)
    assert sorted(finished) == list(range(len(sent)))
    for example in sent:
        check(example, *finished[example["_rowidx"]])
    actor.run_helper.poll()


async def test_rows_are_sent_again_in_another_step(start: Start) -> None:
    actor = start(num_ranks=2)
    sent = examples(ROWS[:3] + ROWS[-1:])
    steps = [await actor.run_rollouts(sent) for _ in range(2)]
    for finished in steps:
        for example in sent:
            check(example, *finished[example["_rowidx"]])
    ids = {result["_ng_rollout_id"] for finished in steps for result, _ in finished.values()}
    assert len(ids) == 2 * len(sent)


async def test_steps_may_overlap(start: Start) -> None:
    actor = start(num_ranks=1)
    training, validation = examples(ROWS), examples(ROWS[:2])
    finished = await asyncio.gather(actor.run_rollouts(training), actor.run_rollouts(validation))
    assert [len(each) for each in finished] == [len(training), 2]


async def test_when_a_rank_dies_every_rollout_completes_here_or_when_its_row_is_sent_again(
    start: Start, request: pytest.FixtureRequest
) -> None:
    actor = start(num_ranks=2, first_dies_after=12)
    unfinished = {example["_rowidx"]: example for example in examples(ROWS, repeats=4)}
    everything = dict(unfinished)
    failures: list[RolloutError] = []
    for _ in range(5):
        iterator = actor.helper.run_examples(list(unfinished.values()), head_server_config=actor.head_server_config)
        for task in iterator:
            try:
                row, result = await task
            except RolloutError as error:
                assert error.status >= 500 and error.row["_rowidx"] in unfinished
                failures.append(error)
            else:
                check(everything[row["_rowidx"]], result, message_log_of(result))
                del unfinished[row["_rowidx"]]
        if not unfinished:
            break
    assert not unfinished
    # The rank had calls in flight when it died. Who remembers conversations knows that nothing came of them, and has
    # them sampled by another rank.
    remembers = request.node.callspec.params["start"] == "vllm_model"
    assert failures or remembers


async def test_prompts_are_whole_though_agents_put_them_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [
        "resources_servers/example_multi_turn/configs/example_multi_turn.yaml",
        "responses_api_models/scripted_model/configs/scripted_model.yaml",
    ]
    scripted = {"policy": {"oracle": 1.0, "random": 0.0, "malformed": 0.0}, "tokens": {"enabled": True}}
    policy_model = {"responses_api_models": {"scripted_model": scripted}}
    actor = NemoGymActor(["http://127.0.0.1:9/v1"], {"config_paths": paths, "policy_model": policy_model})
    try:
        sent = examples(rows_of("example_multi_turn"))
        agent = sent[0]["agent_ref"]["name"]
        client = actor.run_helper._server_client
        stored = (await client.post(agent, "/run", sent[0])).parse()
        await client.http.close()
        short = [item for item in stored["response"]["output"] if item.get("prompt_token_ids_kept") is not None]
        assert len(short) == len(turns_of(sent[0])) - 1, "what an agent answers"
        finished = await actor.run_rollouts(sent)
    finally:
        actor.shutdown()
    for example in sent:
        result, log = finished[example["_rowidx"]]
        assert len(log) == 2 * len(turns_of(example)) and result["reward"] == 1.0
    items = [item for item in finished[0][0]["response"]["output"] if "generation_token_ids" in item]
    again = with_whole_prompts(stored["response"]["output"])
    assert [item["prompt_token_ids"] for item in items] == [
        item["prompt_token_ids"] for item in again if "generation_token_ids" in item
    ]


async def test_a_prompt_that_does_not_fit_raises_a_client_error_and_others_complete(start: Start) -> None:
    actor = start(num_ranks=1)
    sent = examples(ROWS[:2])
    system = sent[0]["responses_create_params"]["input"][0]
    long = {**system, "content": system["content"] + "x" * 2 * MAX_MODEL_LEN}
    sent[0]["responses_create_params"]["input"] = [long, *sent[0]["responses_create_params"]["input"][1:]]
    completed, errors = [], []
    for task in actor.helper.run_examples(sent, head_server_config=actor.head_server_config):
        try:
            completed.append((await task)[0]["_rowidx"])
        except RolloutError as error:
            errors.append(error)
    assert completed == [1]
    [error] = errors
    assert (error.failure_class, error.status, error.row["_rowidx"]) == ("context_overflow", 400, 0)


async def test_implicit_sampling_parameters_are_not_invented(start: Start) -> None:
    actor = start(num_ranks=1)
    [task] = actor.helper.run_examples(ROWS[:1], head_server_config=actor.head_server_config)
    with pytest.raises(RolloutError, match="`temperature` is None"):
        await task


async def test_a_mask_on_the_row_reaches_the_trainer(start: Start) -> None:
    actor = start(num_ranks=1)
    sent = [example | {"instance_config": {"mask_sample": True}} for example in examples(ROWS[:1])]
    finished = await actor.run_rollouts(sent)
    assert finished[0][0]["instance_config"]["mask_sample"] is True


async def test_an_agent_that_dies_fails_its_rollouts_is_named_by_poll_and_serves_again(
    start: Start, tmp_path: Path
) -> None:
    actor = start(num_ranks=1)
    sent = examples(ROWS[:5], repeats=8)
    iterator = actor.helper.run_examples(sent, head_server_config=actor.head_server_config)
    await next(iterator)
    agent = next(each for each in actor.run_helper._running().gym.statuses() if each.name.endswith("step_simple_agent"))
    assert agent.pid is not None
    os.kill(agent.pid, 9)
    failed = []
    for task in iterator:
        try:
            await task
        except RolloutError as error:
            failed.append(error.row)
    assert failed
    finished = await actor.run_rollouts(failed)
    assert len(finished) == len(failed)
    with pytest.raises(LaunchError, match="example_multi_step_simple_agent ended with signal SIGKILL"):
        actor.run_helper.poll()


async def test_shutdown_leaves_no_process(start: Start, tmp_path: Path) -> None:
    actor = start(num_ranks=1)
    [run] = live_runs(tmp_path)
    pids = processes_of(run.run_id)
    actor.shutdown()
    assert len(pids) >= 5 and not any(map(is_alive, pids))
