"""`ng_train_demo` on real servers, with TRL; all but the last test with a model that has hardly learned to speak."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("trl", reason="needs the training extras: make test-training")

from rich.console import Console  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from nemo_gym.reference_policies import PolicyTurn  # noqa: E402
from nemo_gym.training.demo import doors, lakes, training, warm_up  # noqa: E402
from nemo_gym.training.demo import run as demo  # noqa: E402
from nemo_gym.training.demo.conversations import Conversation, tokens_of  # noqa: E402
from nemo_gym.training.demo.demonstrations import play_demonstrations  # noqa: E402
from nemo_gym.training.demo.options import TrainDemoOptions  # noqa: E402
from nemo_gym.training.demo.policy_folder import make_policy_folder  # noqa: E402
from nemo_gym.training.demo.tokenizer import make_tokenizer  # noqa: E402
from nemo_gym.training.rollouts import RunningGym  # noqa: E402
from resources_servers.frozen_lake.board import shortest_path  # noqa: E402

pytestmark = pytest.mark.training

Json = dict[str, Any]
TASKS = list(demo.TASKS.values())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A demo of seconds; holds the addresses of the servers that it started."""
    monkeypatch.setattr(warm_up, "STEPS", 40)
    monkeypatch.setattr(doors, "NUM_TRAIN", 96)
    monkeypatch.setattr(doors, "NUM_HELD_OUT", 6)
    monkeypatch.setattr(lakes, "NUM_TRAIN", 96)
    monkeypatch.setattr(lakes, "NUM_HELD_OUT", 3)
    monkeypatch.setattr(training, "TASKS_PER_STEP", 2)
    addresses: list[str] = []
    start = RunningGym.start

    def noted(*arguments: Any, **values: Any) -> RunningGym:
        gym = start(*arguments, **values)
        addresses.extend(url for server in gym.client.directory.values() for url in server.urls)
        return gym

    monkeypatch.setattr(RunningGym, "start", noted)
    return addresses


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ("code_lookup", {}),
        ("frozen_lake", {"mode": "step_wise", "estimator": "bi_level_gae"}),
        ("code_lookup", {"num_batches_ahead": 1}),
    ],
    ids=["grpo", "bi-level GAE, step-wise", "a batch ahead"],
)
def test_a_short_training_leaves_figures_a_curve_and_a_model_and_no_server(
    tmp_path: Path, small: list[str], environment: str, options: Json
) -> None:
    chosen = TrainDemoOptions(environment=environment, output_dir=tmp_path, steps=3, **options)
    returned = demo.run_demo(chosen, Console(quiet=True))

    results = json.loads((tmp_path / "results.json").read_text())
    assert results == returned
    assert [step["step"] for step in results["steps"]] == [1, 2, 3]
    assert set(results["held_out_reward"]) == {"0", "3"}
    assert results["failed_rollouts"] == 0
    if not options.get("num_batches_ahead"):  # else some were sampled by older weights than are trained
        assert 0 < results["log_prob_mismatch_max"] <= 1e-4
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "trained").config.model_type == "qwen3"
    assert AutoTokenizer.from_pretrained(tmp_path / "trained").chat_template

    assert len(small) == 3
    for url in small:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{url}/openapi.json", timeout=5)


def test_a_recipe_says_what_the_options_leave_open(tmp_path: Path, small: list[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("generator: {step_wise_trajectories: true, n_samples_per_prompt: 4, max_turns: 3}\n")
    options = TrainDemoOptions(output_dir=tmp_path, steps=1, recipe=recipe)
    made: list[Any] = []
    make = demo.make_trainer

    def noted(*arguments: Any) -> Any:
        made.append(make(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "make_trainer", noted)
        demo.run_demo(options, Console(quiet=True))
    assert (made[0].args.shape, made[0].args.num_generations) == ("step_wise", 4)


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_demonstrations_succeed_now_and_then(task: Any) -> None:
    rollouts = play_demonstrations(task, task.make_rows(0).train[:300], seed=0)
    assert 0.1 < sum(rollout["reward"] for rollout in rollouts) / len(rollouts) < 0.4


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_the_warm_up_learns_exactly_what_the_demonstrator_said(task: Any) -> None:
    rollouts = play_demonstrations(task, task.make_rows(0).train[:40], seed=0)
    conversations = [Conversation.of(rollout) for rollout in rollouts]
    tokenizer = make_tokenizer(conversations)
    for conversation in conversations:
        tokens = tokens_of(conversation, tokenizer)
        trained = tokenizer.decode([one for one, said in zip(tokens.ids, tokens.mask, strict=True) if said])
        answers = [message for message in conversation.messages if message["role"] == "assistant"]
        assert trained == "".join(map(worded, answers))


def worded(answer: Json) -> str:
    """What a policy has to sample to say this."""
    called = [call["function"] for call in answer.get("tool_calls") or []]
    calls = [json.dumps({name: call[name] for name in ("name", "arguments")}) for call in called]
    return (
        (answer.get("content") or "") + "".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls) + "<|im_end|>"
    )


def test_the_same_seed_makes_the_same_model(tmp_path: Path, small: list[str]) -> None:
    rows = doors.make_rows(3).train
    for name in ("one", "other"):
        make_policy_folder(tmp_path / name, demo.DOORS, rows, 3, lambda step, loss: None)
    for file in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_no_held_out_task_is_trained(task: Any) -> None:
    rows = task.make_rows(5)
    told = [{json.dumps(row.get("board") or row["codes"]) for row in part} for part in (rows.train, rows.held_out)]
    assert told[0] and told[1] and not told[0] & told[1]


def test_the_ways_across_lakes_are_the_shortest() -> None:
    lakes_seen = lakes.all_lakes()
    assert len({tuple(lake) for lake in lakes_seen}) == len(lakes_seen) == 294
    for lake in lakes_seen:
        path = shortest_path(lake)
        assert path is not None
        seen, moves = [line.replace("S", "P").replace("H", "O").replace("F", "_") for line in lake], 0
        while (move := lakes.next_move(seen)) is not None:
            seen, moves = lakes._after(seen, move), moves + 1
        assert moves == len(path)


def test_a_demonstrator_of_lakes_goes_on_from_where_it_stands() -> None:
    item = {"role": "user", "content": "_ _ _ _\nO O O _\n_ _ P G\nTurns left: 1. Moves left: 2."}
    turn = PolicyTurn(row={}, input=[item], tools=[], step=3, rng=random.Random(0))
    said = {lakes.demonstrate(turn) for _ in range(200)}
    assert "<answer>Right</answer>" in said
    assert "<answer>Up || Right</answer>" not in said, "a hole ends the game"


def test_it_learns(tmp_path: Path) -> None:
    results = demo.run_demo(TrainDemoOptions(output_dir=tmp_path, seed=3), Console(quiet=True))
    assert results["held_out_reward_before"] < 0.35
    assert results["held_out_reward_after"] > 0.85
    assert results["log_prob_mismatch_max"] <= 1e-4
    assert results["failed_rollouts"] == 0
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "trained"))
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before)
