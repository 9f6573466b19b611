"""Our generator in SkyRL's hands: its dataset and sampling parameters in, real servers, its trainer and evaluation."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import orjson
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = [pytest.mark.training, pytest.mark.e2e]

from tests.with_trainers.skyrl_trainer import (  # isort: skip
    EOS,
    Prepared,
    Tokenizer,
    batch_for,
    config_of,
    each_option,
    learned_from,
    prompts_in,
    trainer_of,
)

from skyrl.train.evaluate import evaluate, evaluate_step_wise
from skyrl.train.generators.base import GeneratorInterface

from nemo_gym.cli import GlobalConfigDictParserConfig, RunHelper
from nemo_gym.training.skyrl import SkyRLOptions
from nemo_gym.training.skyrl_generator import GymGenerator
from nemo_gym.training.task_rows import dataset_row

NUM_SAMPLES = 4
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = "example_multi_turn"


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Real servers: an environment of several turns, an agent, and a scripted policy that reports tokens."""
    config = {
        "config_paths": [
            str(ROOT / f"resources_servers/{ENVIRONMENT}/configs/{ENVIRONMENT}.yaml"),
            str(ROOT / "responses_api_models/scripted_model/configs/scripted_model.yaml"),
        ],
        "policy_model": {
            "responses_api_models": {
                "scripted_model": {
                    "policy": {"oracle": 0.5, "random": 0.5, "malformed": 0.0},
                    "tokens": {"enabled": True},
                }
            }
        },
    }
    helper = RunHelper()
    helper.start(GlobalConfigDictParserConfig(initial_global_config_dict=config, skip_load_from_cli=True))
    yield helper
    helper.shutdown()


def task_rows() -> list[dict[str, Any]]:
    path = ROOT / f"resources_servers/{ENVIRONMENT}/data/example.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def prompts_of(rows: list[dict[str, Any]], folder: Path) -> list[Any]:
    """The rows as SkyRL reads them from a dataset of its own."""
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(dataset_row(row, env_class="gym")) for row in rows))
    return prompts_in(path)


def generator_of(helper: RunHelper, **options: Any) -> GymGenerator:
    return GymGenerator(
        SkyRLOptions(eos_token_id=EOS, **options), head_server_config=helper._server_client.head_server_config
    )


def test_the_generator_has_the_interfaces_methods() -> None:
    assert set(GeneratorInterface.__abstractmethods__) == {"generate"}
    assert inspect.iscoroutinefunction(GymGenerator.generate)


@each_option
async def test_a_step_of_training_over_running_servers(gym: RunHelper, tmp_path: Path, options: dict[str, Any]) -> None:
    prompts = prompts_of(task_rows(), tmp_path)
    batch, uids = batch_for(prompts, NUM_SAMPLES)
    config = config_of(len(prompts), NUM_SAMPLES, step_wise=options.get("step_wise", False))
    trainer = trainer_of(config, generator_of(gym, **options))
    learned = await learned_from(trainer, batch, uids)
    assert torch.isfinite(learned["advantages"]).all()
    assert learned["advantages"].abs().sum() > 0, "rollouts differ"
    assert (learned["loss_mask"].sum(dim=1) > 0).all()
    assert trainer.all_metrics["gym/num_rollouts"] == len(uids) and trainer.all_metrics["gym/num_failed"] == 0
    assert trainer.all_metrics["gym/mean_turns"] > 1


async def test_what_fails_is_masked_and_keeps_its_place(gym: RunHelper, tmp_path: Path) -> None:
    rows = task_rows()[:2]
    rows[0] = {"responses_create_params": rows[0]["responses_create_params"]}  # what the environment needs is missing
    batch, uids = batch_for(prompts_of(rows, tmp_path), NUM_SAMPLES)
    output = await generator_of(gym).generate(batch)
    ids = [each.to_string() for each in batch["trajectory_ids"]]
    assert [each.to_string() for each in output["trajectory_ids"]] == ids
    assert [any(mask) for mask in output["loss_masks"]] == [False] * NUM_SAMPLES + [True] * NUM_SAMPLES
    assert output["stop_reasons"][:NUM_SAMPLES] == ["error"] * NUM_SAMPLES
    trainer = trainer_of(config_of(2, NUM_SAMPLES), Prepared(output))
    assert torch.isfinite((await learned_from(trainer, batch, uids))["advantages"]).all()


@pytest.mark.parametrize("step_wise", [False, True])
async def test_its_evaluation_reads_whole_episodes_whatever_the_credit(
    gym: RunHelper, tmp_path: Path, step_wise: bool
) -> None:
    prompts = prompts_of(task_rows(), tmp_path)
    config = config_of(len(prompts), NUM_SAMPLES, step_wise=step_wise)
    config.trainer.dump_eval_results = False
    generator = generator_of(gym, credit="turn", step_wise=step_wise)
    run = evaluate_step_wise if step_wise else evaluate
    metrics = await run([prompts], generator, config, 1, Tokenizer())
    scores = [value for key, value in metrics.items() if key.endswith("avg_score")]
    assert scores and all(0 <= score <= 1 for score in scores), metrics
