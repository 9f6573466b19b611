"""Our agent loop in verl's hands: made from its config, run by its worker, padded into its batch; its advantages."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("verl", reason="needs verl: make test-training")
pytestmark = [pytest.mark.training, pytest.mark.e2e]

from omegaconf import OmegaConf
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from verl.experimental.agent_loop import agent_loop
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.utils.rollout_trace import RolloutTraceConfig

from nemo_gym.cli import GlobalConfigDictParserConfig, RunHelper
from nemo_gym.training.advantages import grpo
from nemo_gym.training.task_rows import dataset_row
from nemo_gym.training.verl import AGENT_LOOP, AgentLoopOutput, agent_loop_output
from tests.training.stored_rollouts import Said, failed, rollout_of, turn_of

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = "example_multi_turn"
PROMPT_LENGTH, RESPONSE_LENGTH = 1500, 1500
NUM_SAMPLES = 4
EOS = 1


def worker_of(**loop: Any) -> Any:
    """verl's worker; its constructor would load a model's files and tools, of which none are needed."""
    lengths = {"prompt_length": PROMPT_LENGTH, "response_length": RESPONSE_LENGTH}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": lengths}, "data": {}})
    bare = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": EOS}, unk_token="<pad>"))
    worker = agent_loop.AgentLoopWorker.__new__(agent_loop.AgentLoopWorker)
    worker.config, worker.rollout_config = config, config.actor_rollout_ref.rollout
    worker.tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="</s>")
    worker.processor = worker.llm_client = worker.hf_model_type = worker.dataset_cls = None
    worker.mm_processor_kwargs = {}
    worker.reward_loop_worker_handles, worker.distillation_enabled, worker.tools = None, False, []
    # As entries of `agent_loop_config_path` are kept.
    entry = {"name": "gym", "_target_": "nemo_gym.training.verl.GymAgentLoop", **loop}
    agent_loop._agent_loop_registry["gym"] = OmegaConf.create(entry)
    RolloutTraceConfig.init("project", "experiment", None)
    return worker


async def put_together(worker: Any, outputs: list[AgentLoopOutput]) -> Any:
    """verl's batch of these rollouts."""
    theirs = [agent_loop.AgentLoopOutput(**each) for each in outputs]
    return worker._postprocess([await worker._agent_loop_postprocess(each, False, raw_prompt=[]) for each in theirs])


def stored(number: int, reward: float) -> dict[str, Any]:
    first = Said([10, 11], [12, 13 + number], [-0.1, -0.2], 0.0)
    second = Said([10, 11, 12, 13 + number, 14], [15], [-0.3], reward)
    return rollout_of(turn_of(first), turn_of(second), _ng_task_index=0, _ng_rollout_index=number)


def converted(rollouts: list[dict[str, Any]]) -> list[AgentLoopOutput]:
    lengths = {"prompt_length": PROMPT_LENGTH, "response_length": RESPONSE_LENGTH}
    return [agent_loop_output(each, eos_token_id=EOS, **lengths) for each in rollouts]


def test_fields_are_those_of_its_class() -> None:
    [output] = converted([stored(0, 1.0)])
    theirs = agent_loop.AgentLoopOutput(**output)
    assert output.keys() <= type(theirs).model_fields.keys()
    assert set(output["metrics"]) <= set(agent_loop.AgentLoopMetrics.model_fields)
    assert agent_loop.__name__ == AGENT_LOOP
    tensors = theirs.as_dict()
    assert tensors["responses"].tolist() == output["response_ids"]
    assert tensors["rm_scores"].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert tensors["rollout_log_probs"].tolist() == pytest.approx([-0.1, -0.2, 0.0, -0.3])


async def test_its_batch_and_advantages_are_those_of_the_episodes() -> None:
    rewards = [1.0, 0.0, 0.25, 0.0]
    rollouts = [stored(number, reward) for number, reward in enumerate(rewards)]
    batch = (await put_together(worker_of(), converted(rollouts))).batch
    mask = batch["response_mask"].bool()
    assert [batch["responses"][row][mask[row]].tolist() for row in range(4)] == [[12, 13 + n, 15] for n in range(4)]
    assert [batch["rollout_log_probs"][row][mask[row]].tolist() for row in range(4)] == [
        pytest.approx([-0.1, -0.2, -0.3])
    ] * 4
    assert batch["rm_scores"].sum(dim=1).tolist() == rewards
    advantages, _ = compute_grpo_outcome_advantage(batch["rm_scores"], batch["response_mask"], np.array(["a"] * 4))
    for row, advantage in enumerate(grpo(rewards, ["a"] * 4)):
        assert advantages[row][mask[row]].tolist() == pytest.approx([advantage] * 3, abs=1e-5)


async def test_failed_and_long_rollouts_are_masked_in_its_batch() -> None:
    long = rollout_of(turn_of(Said([10], [12] * (RESPONSE_LENGTH + 1), [-0.1] * (RESPONSE_LENGTH + 1), 1.0)))
    data = await put_together(worker_of(), converted([stored(0, 1.0), failed(stored(1, 1.0)), long]))
    assert data.batch["response_mask"].sum(dim=1).tolist() == [3, 0, 0]
    assert data.batch["rm_scores"].sum(dim=1).tolist() == [1.0, 0.0, 1.0]
    assert data.non_tensor_batch["gym_failed"].tolist() == [0.0, 1.0, 0.0]
    assert data.non_tensor_batch["failure_class"].tolist() == [None, "model_timeout", None]


# ------------------------------------------------------------------------------------------------------- live rollouts


@pytest.fixture(scope="module")
def gym() -> Iterator[RunHelper]:
    """Real servers: an environment of several turns, an agent, and a scripted policy that reports tokens."""
    scripted = {"policy": {"oracle": 0.5, "random": 0.5, "malformed": 0.0}, "tokens": {"enabled": True}}
    config = {
        "config_paths": [
            str(ROOT / f"resources_servers/{ENVIRONMENT}/configs/{ENVIRONMENT}.yaml"),
            str(ROOT / "responses_api_models/scripted_model/configs/scripted_model.yaml"),
        ],
        "policy_model": {"responses_api_models": {"scripted_model": scripted}},
    }
    helper = RunHelper()
    helper.start(GlobalConfigDictParserConfig(initial_global_config_dict=config, skip_load_from_cli=True))
    yield helper
    helper.shutdown()


def task_rows() -> list[dict[str, Any]]:
    path = ROOT / f"resources_servers/{ENVIRONMENT}/data/example.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def run_by(worker: Any, row: dict[str, Any], sampling: dict[str, Any]) -> Any:
    """One rollout as its worker asks for it."""
    fields = dataset_row(row, data_source="gym", agent_name="gym") | {"index": 0}
    trajectory = {"step": 0, "sample_index": 0, "rollout_n": 0, "validate": False}
    return await worker._run_agent_loop(sampling, trajectory, trace=False, raw_prompt=fields.pop("prompt"), **fields)


SAMPLING = {"temperature": 0.7, "top_p": 0.9, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}


async def test_its_worker_runs_our_loop_over_running_servers(gym: RunHelper) -> None:
    head = gym._server_client.head_server_config
    worker = worker_of(head_server={"host": head.host, "port": head.port})
    outputs = [await run_by(worker, row, SAMPLING) for row in task_rows() for _ in range(NUM_SAMPLES)]
    data = worker._postprocess(outputs)
    assert (data.batch["response_mask"].sum(dim=1) > 0).all()
    assert len(set(data.batch["rm_scores"].sum(dim=1).tolist())) > 1, "rollouts differ"
    turns = data.non_tensor_batch["__num_turns__"]
    assert turns.max() > 2
    scores = data.non_tensor_batch["turn_scores"]
    assert [len(each) for each in scores] == (turns // 2).tolist()
    assert torch.allclose(data.batch["rm_scores"].sum(dim=1), torch.tensor([sum(each) for each in scores]))


async def test_a_rollout_that_fails_is_masked_after_the_attempts_that_may_help(
    gym: RunHelper, caplog: pytest.LogCaptureFixture
) -> None:
    head = gym._server_client.head_server_config
    worker = worker_of(head_server={"host": head.host, "port": head.port}, max_attempts=3)
    # What the environment needs is missing.
    row = {"responses_create_params": task_rows()[0]["responses_create_params"]}
    output = await run_by(worker, row, SAMPLING)
    assert output.response_mask.sum() == 0 and output.reward_score == 0.0
    assert output.extra_fields["failure_class"] is not None
    assert [record.message for record in caplog.records if "attempt" in record.message]
