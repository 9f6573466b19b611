"""The policy that is trained is the policy that is sampled: weights published to a torch_model, before each batch."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from nemo_gym.errors import WeightUpdateError
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl import verify_reward_func
from nemo_gym.training.weights import TorchModelWeights
from tests.e2e.documents import PATIENCE_S, ROOT, environment
from tests.with_trainers.gyms import LAKE, MATH, rows_of
from tests.with_trainers.tiny import tiny_model, tiny_tokenizer
from tests.with_trainers.trl_trainers import (
    Json,
    Recorded,
    letters,
    logged,
    rows_in,
    sampled_tokens,
    trained_tokens,
    trainer_for,
)

STEPS = 4


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def served(policy: Path) -> Iterator[RunningGym]:
    config: Json = {
        "config_paths": [
            "responses_api_models/torch_model/configs/torch_model.yaml",
            *(f"resources_servers/{name}/configs/{name}.yaml" for name in (LAKE, MATH)),
        ],
        "policy_model_path": str(policy),
        LAKE: {"resources_servers": {LAKE: {"max_turns": 3}}},
    }
    with RunningGym.start(config) as gym:
        yield gym


def rows() -> list[Json]:
    found = rows_of(LAKE)
    for row in found:
        row["responses_create_params"]["max_output_tokens"] = 12
    return found


def trained(folder: Path, gym: RunningGym, policy: Path, **options: Any) -> Recorded:
    trainer: Recorded = trainer_for(
        folder,
        rows(),
        gym,
        model=str(policy),
        reward_funcs=[verify_reward_func(gym), letters],
        weights=TorchModelWeights(gym.url_of("policy_model")),
        **{"max_steps": STEPS, "learning_rate": 1e-2, **options},
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_servers_log_probabilities_are_the_trainers(
    tmp_path: Path, served: RunningGym, policy: Path, temperature: float
) -> None:
    trainer = trained(tmp_path, served, policy, temperature=temperature)
    assert len(set(logged(trainer, "loss"))) > 1
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-4
    for step, (rollouts, (inputs, _)) in enumerate(zip(trainer.generations, trainer.losses, strict=True)):
        assert rollouts is not None
        assert {version for one in rollouts for version in one.policy_versions} == {step}
        expected = [digest for one in rollouts for digest in sampled_tokens(one.result or {})]
        assert sorted(trained_tokens(rows_in(inputs))) == sorted(expected)


def test_ahead_of_training_samples_are_as_stale_as_their_versions_say(
    tmp_path: Path, served: RunningGym, policy: Path
) -> None:
    trainer = trained(tmp_path, served, policy, num_batches_ahead=1)
    for step, rollouts in enumerate(trainer.generations):
        assert rollouts is not None
        for one in rollouts:
            assert one.staleness == step - min(int(version or 0) for version in one.policy_versions) <= 1
    differences = logged(trainer, "sampling/sampling_logp_difference/mean")
    assert differences[0] < 1e-4 < max(differences), "stale samples were sampled by other weights"


def test_evaluation_is_of_the_newest_weights(tmp_path: Path, served: RunningGym, policy: Path) -> None:
    from nemo_gym.training.trl import dataset_of

    trainer = trained(tmp_path, served, policy, max_steps=2, num_generations_eval=1, per_device_eval_batch_size=5)
    trainer.evaluate(dataset_of(rows()))
    assert {version for one in trainer.generations[-1] or [] for version in one.policy_versions} == {2}


def test_weights_that_do_not_fit_the_server_end_the_training(tmp_path: Path, served: RunningGym) -> None:
    other = tmp_path / "other"
    smaller = tiny_model()
    smaller.resize_token_embeddings(400)
    smaller.save_pretrained(other)
    with pytest.raises(WeightUpdateError):
        trained(tmp_path, served, other)


def test_two_processes_train_one_policy_where_only_one_of_them_has_rows_to_play(
    tmp_path: Path, served: RunningGym
) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    script = ["-m", "tests.with_trainers.trl_process", str(tmp_path), f"http://{served.head.host}:{served.head.port}"]
    done = subprocess.run(
        [*launcher, *script], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert (first["modes"], second["modes"]) == (["multi_turn"] * 3, ["single_turn"] * 3)
    assert first["weights"] == second["weights"] and max(first["differences"]) < 1e-4
