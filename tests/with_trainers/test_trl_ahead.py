"""Rollouts that go wrong or come late: the ladder, batches ahead and their staleness, timeouts, errors at once."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from nemo_gym.errors import ConfigError, DataError, LaunchError, RolloutError
from nemo_gym.serving.runs import fetch_status
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl import verify_reward_func
from nemo_gym.training.trl.ahead import foreseen_batches
from nemo_gym.training.trl.ladder import Played
from tests.with_trainers.conftest import StartGym
from tests.with_trainers.gyms import LAKE, MATH, rows_of
from tests.with_trainers.trl_trainers import Json, Recorded, logged, rows_in, trainer_for

STEPS = ("retry", "replica", "own_generation", "masked")


def counts(trainer: Any) -> dict[str, float]:
    """Rollouts by the step of the ladder that they are from, in the first batch."""
    found = {step: logged(trainer, f"rollouts/fallback/{step}")[0] for step in STEPS}
    return {step: number for step, number in found.items() if number}


class Noted(Recorded):
    """Notes when batches are begun and trained."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.events: list[tuple[str, int]] = []
        super().__init__(*arguments, **named)

    def _begin(self, prompts: Any) -> Future[list[Played]] | None:
        self.events.append(("begun", len([event for event in self.events if event[0] == "begun"])))
        return super()._begin(prompts)

    def training_step(self, *arguments: Any, **named: Any) -> Any:
        loss = super().training_step(*arguments, **named)
        self.events.append(("trained", self.state.global_step))
        return loss


class Versions:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[int | str, Any]] = []

    def publish(self, state_dict: Any, policy_version: int | str) -> None:
        some = next(iter(state_dict.values())).detach().clone()
        self.published.append((policy_version, some))


# ----------------------------------------------------------------------------------------------------------- the ladder


def test_a_retry_mends_what_failed_by_chance(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(LAKE, faults={"malformed_json": 0.1})
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, per_device_train_batch_size=16, max_steps=1)
    trainer.train()
    found = counts(trainer)
    assert found["retry"] > 0
    assert found["retry"] + logged(trainer, "rollouts/first_attempt")[0] + found.get("own_generation", 0) == 16


def test_a_replica_takes_over_where_the_retry_fails_too(tmp_path: Path, start_gym: StartGym, gym: RunningGym) -> None:
    failing = start_gym(LAKE, faults={"malformed_json": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), [failing, gym], max_steps=1)
    trainer.train()
    assert counts(trainer) == {"replica": 4}
    assert all(one.is_trained for one in trainer.generations[0])


def test_a_gym_that_is_gone_is_replaced_by_its_replica(tmp_path: Path, start_gym: StartGym, gym: RunningGym) -> None:
    ended = start_gym(LAKE)
    trainer = trainer_for(tmp_path, rows_of(LAKE), [ended, gym], max_steps=1)
    assert ended._run_helper is not None
    ended._run_helper.shutdown()
    trainer._detector._gym = gym  # what kind the rows are was found before
    trainer.train()
    assert counts(trainer) == {"replica": 4}


@pytest.mark.parametrize("server", [LAKE, f"{LAKE}_simple_agent", "policy_model"])
def test_a_server_that_is_killed_between_batches_costs_no_rollout(
    tmp_path: Path, start_gym: StartGym, server: str
) -> None:
    gym = start_gym(LAKE)
    killed: list[int] = []

    def killing(completions: Any, **_: Any) -> list[float]:
        if not killed:
            head = f"http://{gym.head.host}:{gym.head.port}"
            [pid] = [one.pid for one in gym.start_coroutine(fetch_status(head)).result() if one.name == server]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return [0.0] * len(completions)

    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, max_steps=3, reward_funcs=[verify_reward_func(gym), killing])
    trainer.train()
    assert killed and all(one.is_trained for rollouts in trainer.generations for one in rollouts)
    assert logged(trainer, "rollouts/multi_turn") == [1.0] * 3


def test_without_a_replica_the_trainer_generates_a_single_turn_itself(
    tmp_path: Path, start_gym: StartGym, caplog: pytest.LogCaptureFixture
) -> None:
    gym = start_gym(LAKE, faults={"malformed_json": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, max_steps=1, max_completion_length=16)
    trainer.train()
    assert counts(trainer) == {"own_generation": 4}
    [rollouts] = trainer.generations
    assert {one.mode for one in rollouts} == {"single_turn"} and logged(trainer, "rollouts/multi_turn") == [0.0]
    assert [one.reward for one in rollouts] == [pytest.approx(-0.1)] * 4, "scored by /verify"
    [(inputs, _)] = trainer.losses
    assert all(all(mask) and len(completion) <= 16 for _, completion, mask in rows_in(inputs))
    said = [record.message for record in caplog.records if "rollouts failed" in record.message]
    assert any(one.startswith("retry: 4 of 4 rollouts failed (4 model_error)") for one in said)


def test_what_fails_on_all_steps_is_masked_and_too_many_such_batches_end_the_training(
    tmp_path: Path, start_gym: StartGym
) -> None:
    gym = start_gym(LAKE, faults={"malformed_json": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, max_steps=5, fallbacks=["retry"], max_lost_batches=3)
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    with pytest.raises(RolloutError, match="3 batches in a row"):
        trainer.train()
    assert len(trainer.losses) == 2
    for inputs, loss in trainer.losses:
        assert loss == 0.0 and not any(any(mask) for _, _, mask in rows_in(inputs))
    assert all(map(torch.equal, before, trainer.model.parameters()))
    assert counts(trainer) == {"masked": 4}


def test_what_no_repetition_can_mend_is_masked_at_once(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(LAKE, context_length=20)
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, max_steps=1)
    trainer.train()
    assert counts(trainer) == {"masked": 4}
    assert {one.failure_class for one in trainer.generations[0]} == {"context_overflow"}


def test_a_batch_that_takes_too_long_goes_down_the_ladder(tmp_path: Path, start_gym: StartGym, gym: RunningGym) -> None:
    hanging = start_gym(LAKE, faults={"hang": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), [hanging, gym], max_steps=1, async_timeout=2.0)
    trainer.train()
    assert counts(trainer) == {"replica": 4}


# -------------------------------------------------------------------------------------------------------- batches ahead


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_no_sample_is_staler_than_the_setting(tmp_path: Path, gym: RunningGym, ahead: int) -> None:
    versions = Versions()
    trainer = trainer_for(
        tmp_path, rows_of(LAKE), gym, kind=Noted, max_steps=6, num_batches_ahead=ahead, weights=versions
    )
    trainer.train()
    staleness = [one.staleness for rollouts in trainer.generations for one in rollouts]
    assert staleness == [min(batch, ahead) for batch in range(6) for _ in range(4)]
    assert logged(trainer, "rollouts/staleness/max") == [min(batch, ahead) for batch in range(6)]
    assert [version for version, _ in versions.published] == list(range(6)), "before each batch, with its own step"
    assert not torch.equal(versions.published[0][1], versions.published[-1][1])
    for step in range(6):
        until = trainer.events[: trainer.events.index(("trained", step))]
        assert sum(kind == "begun" for kind, _ in until) == min(6, step + 1 + ahead)
    assert trainer._ahead.missed == 0


def test_synchronous_generation_switches_batches_ahead_off(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, num_batches_ahead=3, enable_async_generation=False)
    trainer.train()
    assert {one.staleness for rollouts in trainer.generations for one in rollouts} == {0}


def test_stale_samples_are_weighed_by_the_probabilities_they_were_sampled_at(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, num_batches_ahead=1)
    trainer.train()
    for inputs, _ in trainer.losses:
        assert torch.equal(inputs["old_per_token_logps"], inputs["sampling_per_token_logps"])


def test_single_turn_rows_between_leave_the_order_of_batches_as_it_is(tmp_path: Path, gym: RunningGym) -> None:
    rows = [*rows_of(LAKE)[:3], *rows_of(MATH)[:3]]
    trainer = trainer_for(tmp_path, rows, gym, num_batches_ahead=2, max_steps=8, max_completion_length=400)
    trainer.train()
    played = [rollouts for rollouts in trainer.generations if rollouts is not None]
    assert 0 < len(played) < 8 and trainer._ahead.missed == 0
    assert {one.staleness for rollouts in played for one in rollouts} <= {0, 1, 2}


@pytest.mark.parametrize(
    "options", [{}, {"num_iterations": 2}, {"gradient_accumulation_steps": 2}, {"shuffle_dataset": False}]
)
def test_batches_are_foreseen_in_the_trainers_own_order(tmp_path: Path, gym: RunningGym, options: Json) -> None:
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, num_batches_ahead=1, max_steps=7, **options)
    came: list[Any] = []
    take = trainer._ahead.take

    def noting(given: Any, prompts: Any, batch: int) -> Any:
        came.append(prompts)
        return take(given, prompts, batch)

    trainer._ahead.take = noting
    trainer.train()
    foreseen = foreseen_batches(trainer)
    assert came == [next(foreseen) for _ in came] and trainer._ahead.missed == 0


def test_with_vllm_in_the_trainer_its_own_ratio_corrects_alone(tmp_path: Path, gym: RunningGym) -> None:
    crediting = trainer_for(tmp_path, rows_of(LAKE), gym, num_batches_ahead=1)._crediting
    known = {"sampling_per_token_logps": torch.zeros(1, 1)}
    assert crediting._is_weighed_by_what_was_sampled(known)
    assert not crediting._is_weighed_by_what_was_sampled({**known, "importance_sampling_ratio": torch.ones(1, 1)})


def test_batches_ahead_of_a_stream_are_refused(tmp_path: Path, gym: RunningGym) -> None:
    from datasets import IterableDataset

    from nemo_gym.training.trl import dataset_of

    stream: IterableDataset = dataset_of(rows_of(LAKE)).to_iterable_dataset()
    with pytest.raises(ConfigError, match="stream"):
        trainer_for(tmp_path, stream, gym, num_batches_ahead=1)


# ------------------------------------------------------------------------------------------------------- errors at once


def test_a_mistake_in_the_rows_reaches_the_caller_at_once(tmp_path: Path, gym: RunningGym) -> None:
    rows = [{**row, "agent_ref": {"type": "responses_api_agents", "name": "nobody"}} for row in rows_of(LAKE)]
    with pytest.raises(ConfigError, match="no agent `nobody` is running"):
        trainer_for(tmp_path, rows, gym).train()


def test_an_error_of_a_batch_to_come_ends_the_training_before_that_batch(tmp_path: Path, gym: RunningGym) -> None:
    class Failing(Noted):
        def _begin(self, prompts: Any) -> Future[list[Played]] | None:
            if sum(kind == "begun" for kind, _ in self.events) == 2:
                self.events.append(("begun", 2))
                failed: Future[list[Played]] = Future()
                failed.set_exception(DataError("rows", 7, "broken"))
                return failed
            return super()._begin(prompts)

    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, kind=Failing, num_batches_ahead=2, max_steps=6)
    with pytest.raises(DataError, match="broken"):
        trainer.train()
    assert not trainer.losses, "the third batch failed while the first was waited for"


class Meanwhile(Recorded):
    """Has something done in another thread as soon as a batch is begun."""

    done: Callable[[], object]

    def _begin(self, prompts: Any) -> Future[list[Played]] | None:
        self.future = super()._begin(prompts)
        threading.Thread(target=self.done).start()
        return self.future


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_gym_that_is_closed_while_it_is_waited_for_is_an_error_that_says_so(
    tmp_path: Path, start_gym: StartGym, ahead: int
) -> None:
    gym = start_gym(LAKE, faults={"hang": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, kind=Meanwhile, num_batches_ahead=ahead)
    trainer.done = gym.close
    with pytest.raises(LaunchError, match="closed"):
        trainer.train()


def test_an_interruption_while_waiting_ends_the_rollouts(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(LAKE, faults={"hang": 1.0})
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, kind=Meanwhile)

    def interrupt() -> None:
        while not trainer._ahead._taken:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    trainer.done = interrupt
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.future.cancelled()


def test_single_turns_that_nothing_can_score_end_the_training(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(MATH)
    trainer = trainer_for(tmp_path, rows_of(MATH), gym, max_steps=9, max_completion_length=8, max_lost_batches=2)
    assert trainer.is_multi_turn_environment() is False
    assert gym._run_helper is not None
    gym._run_helper.shutdown()
    with pytest.raises(RolloutError, match="2 batches in a row"):
        trainer.train()
    assert len(trainer.losses) == 1


def test_training_that_ends_leaves_no_rollout_running(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(LAKE, latency_s=0.05)
    trainer = trainer_for(tmp_path, rows_of(LAKE), gym, num_batches_ahead=2, max_steps=2)

    def stop(**_: Any) -> list[float]:
        raise KeyboardInterrupt

    trainer.reward_funcs = [stop]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not trainer._ahead._begun
    gym.close()
    assert not [thread for thread in threading.enumerate() if thread is gym._thread]
