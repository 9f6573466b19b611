"""verl: one rollout as its agent loop's output, and an agent loop over running servers.

verl takes one number a rollout, puts it on the last response id, and its GRPO sums: turns are not seen by it, whatever
credit is wanted. The rewards of turns travel in `extra_fields`. verl itself is imported only where an agent loop of
it runs.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from nemo_gym.config_types import HeadServerConfig
from nemo_gym.errors import RolloutError
from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.rollouts.attempt import Result
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.running import DEFAULT_ROLLOUT_TIMEOUT_S
from nemo_gym.training.samples import WHOLE, Sample, samples_of
from nemo_gym.training.task_rows import task_row_of, with_sampling
from nemo_gym.training.trajectory import Rollout, Trajectory, trajectory_of

logger = logging.getLogger(__name__)

AGENT_LOOP = "verl.experimental.agent_loop.agent_loop"


class AgentLoopOutput(TypedDict):
    """The fields of verl's `AgentLoopOutput`. R: ids of the response, 1 or more."""

    prompt_ids: list[int]
    response_ids: list[int]
    """[R] what was sampled, with what the environment said in between."""
    response_mask: list[int]
    """[R] 1 where the policy sampled it and it is to be trained."""
    response_logprobs: list[float]
    """[R] as recorded; 0.0 where the policy did not sample."""
    reward_score: float
    """The episode's reward. Of a failed rollout 0.0, as verl has no way to leave one out of a baseline."""
    num_turns: int
    """Prompt, answers, and what the environment said between them."""
    metrics: dict[str, float]
    """Seconds, under verl's names."""
    extra_fields: dict[str, Any]
    """The same keys for each rollout; verl puts them side by side."""


def agent_loop_output(
    rollout: Rollout, *, prompt_length: int, response_length: int, eos_token_id: int, group_id: str = "verl"
) -> AgentLoopOutput:
    """One rollout, in the lengths that verl pads to: `rollout.prompt_length` and `.response_length`.

    Turns that end beyond `response_length` are not trained; the episode's reward stays whole. Of a rollout that forked
    the last segment is trained. A rollout that failed, or whose prompt is too long, is masked: one `eos_token_id`.
    Raises `MissingTokensError` where ids were not recorded.
    """
    trajectory = trajectory_of(rollout, group_id=group_id)
    sample = _trained(trajectory, prompt_length, response_length)
    masked = sample is None or (rollout.get("instance_config") or {}).get("mask_sample") is True
    ids, start = (sample.ids, sample.prompt_length) if sample is not None else (np.zeros(0, dtype=np.int64), 0)
    trained = sample.loss_mask[start:].astype(int).tolist() if sample is not None else []
    timings: Mapping[str, float] = rollout.get("timings") or {}
    return AgentLoopOutput(
        prompt_ids=ids[:start].tolist() or [eos_token_id],
        response_ids=ids[start:].tolist() or [eos_token_id],
        response_mask=[0] * max(1, len(trained)) if masked else trained,
        response_logprobs=sample.log_probs[start:].tolist() if sample is not None else [0.0],
        reward_score=trajectory.reward or 0.0,
        num_turns=2 * max(1, len(trajectory.turns)),
        metrics={
            "generate_sequences": timings.get("model_s", 0.0),
            "tool_calls": timings.get("tools_s", 0.0) + timings.get("step_s", 0.0),
            "compute_score": timings.get("verify_s", 0.0),
        },
        extra_fields=_extra_fields(trajectory, sample, masked=masked),
    )


def _trained(trajectory: Trajectory, prompt_length: int, response_length: int) -> Sample | None:
    """The last segment that trains something, with as many turns as fit; None where there is none."""
    if trajectory.failed:
        return None
    found = None
    for sample in samples_of(trajectory, WHOLE):
        start = sample.prompt_length
        fitting = samples_of(trajectory, WHOLE, max_length=start + response_length)[sample.step]
        if start <= prompt_length and not fitting.is_placeholder:
            found = fitting
    return found


def _extra_fields(trajectory: Trajectory, sample: Sample | None, *, masked: bool) -> dict[str, Any]:
    versions = [version for version in (sample.policy_versions if sample else ()) if isinstance(version, int)]
    turn_scores = [] if trajectory.failed else trajectory.turn_rewards().tolist()
    trained = len(sample.turns) if sample is not None and not masked else 0
    return {
        "turn_scores": turn_scores,
        "tool_rewards": [],
        "min_global_steps": min(versions, default=None),
        "max_global_steps": max(versions, default=None),
        "failure_class": trajectory.failure_class,
        "stop_reason": trajectory.stop_reason,
        "reward_components": dict(trajectory.reward_components),
        # Numbers that verl averages and logs.
        "reward_extra_info": {
            "gym_failed": float(trajectory.failed),
            "gym_turns": float(len(trajectory.turns)),
            "gym_forks": float(trajectory.num_forks),
            "gym_untrained_turns": float(len(trajectory.turns) - trained),
        },
    }


class GymAgentLoop:
    """verl's agent loop, made by it for each rollout from its `agent_loop_config_path`:

    - name: gym
      _target_: nemo_gym.training.verl.GymAgentLoop
      head_server: {host: 10.0.0.1, port: 11000}
    """

    def __init__(
        self,
        trainer_config: Any,
        tokenizer: Any,
        head_server: Mapping[str, Any] | None = None,
        agent_name: str | None = None,
        max_attempts: int = 2,
        timeout_s: float = DEFAULT_ROLLOUT_TIMEOUT_S,
        **_: Any,
    ) -> None:
        """`trainer_config`, `tokenizer` and what is not named are verl's own. `head_server`: by default that of the run
        in this folder. `agent_name` is for rows that name none, `max_attempts` for failures that trying again may mend.
        """
        lengths = trainer_config.config.actor_rollout_ref.rollout
        self._prompt_length, self._response_length = int(lengths.prompt_length), int(lengths.response_length)
        self._eos_token_id = int(tokenizer.eos_token_id)
        self._head = None if head_server is None else HeadServerConfig(**head_server)
        self._agent_name, self._max_attempts, self._timeout_s = agent_name, max_attempts, timeout_s

    async def run(self, sampling_params: dict[str, Any], **fields: Any) -> Any:
        """verl's `AgentLoopOutput` of one rollout of the dataset row `fields`, whose column `task_row` holds the task.

        Raises `DataError` where that is missing, `RequestError` where no head server answers.
        """
        row = task_row_of(fields, int(fields.get("index", 0)), agent_name=self._agent_name)
        output = agent_loop_output(
            await self._result(with_sampling(row, sampling_params)),
            prompt_length=self._prompt_length,
            response_length=self._response_length,
            eos_token_id=self._eos_token_id,
        )
        return importlib.import_module(AGENT_LOOP).AgentLoopOutput(**output)

    async def _result(self, row: TaskRow) -> Result:
        """What became of it, after as many attempts as are allowed."""
        attempt = 1
        while True:
            [awaitable] = RolloutCollectionHelper().run_examples([row], self._head, timeout_s=self._timeout_s)
            try:
                return (await awaitable)[1]
            except RolloutError as error:
                logger.warning("attempt %d of %d: %s", attempt, self._max_attempts, error)
                if attempt >= self._max_attempts or error.status < 500:
                    return error.result
                attempt += 1
