"""SkyRL: rollouts as the `GeneratorOutput` that its trainer learns from, so that `credit` means what it says.

SkyRL's estimators compare one number a row: GRPO, RLOO and MaxRL sum a row's token rewards, and in its step-wise mode
only the last step of a trajectory counts, whose advantage all its steps get. Hence, in one row a rollout:

    `final`               the episode's reward
    `turn`                each turn's reward at its end, for `gae` and `reinforce++`; the others see the sum
    the other two         refused: every estimator would add up returns, or turns that are to be compared apart

and with `step_wise`, one row a turn:

    `final`               the episode's reward on the last step, whose advantage SkyRL gives to all steps
    `turn`                each turn its own trajectory with its own reward, compared with all turns of its task
    `return_to_go`        the same with r_k + discount · G_(k+1)
    `turn_as_trajectory`  the same less the mean of the same turn in the task's other rollouts

All rewards stand in `env_metrics` besides, whatever the choice. SkyRL itself is not imported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, get_args

import numpy as np

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem, TrajectoryError
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX
from nemo_gym.training.credit import Credit
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.samples import STEP_WISE, WHOLE, Sample, samples_of
from nemo_gym.training.trajectory import Rollout, Trajectory, trajectory_of


@dataclass(frozen=True)
class TrajectoryId:
    """Names a trajectory, with what SkyRL reads of its own `TrajectoryID`. `instance_id` is the group."""

    instance_id: str
    repetition_id: int

    def to_string(self) -> str:
        return f"{self.instance_id}_{self.repetition_id}"


class GeneratorOutput(TypedDict):
    """N rows; each list has N entries. R: ids of a row's response, 1 or more."""

    prompt_token_ids: list[list[int]]
    response_ids: list[list[int]]
    """[R] what was sampled, with what the environment said in between."""
    rewards: list[float] | list[list[float]]
    """A number a row, or with credit `turn` in one row a rollout [R]."""
    loss_masks: list[list[int]]
    """[R] 1 where the policy sampled it and it is to be trained."""
    stop_reasons: list[str]
    """`stop`; `length` where a limit cut the row's last turn off from what follows; `error` of a failed rollout."""
    rollout_logprobs: list[list[float]]
    """[R] as recorded; 0.0 where the policy did not sample."""
    trajectory_ids: list[TrajectoryId]
    is_last_step: list[bool] | None
    """None in one row a rollout."""
    env_metrics: list[dict[str, Any]]
    """What the row is of: turns, rewards and returns of each, the episode's reward, policy versions, failure."""
    rollout_metrics: dict[str, float]


@dataclass(frozen=True)
class SkyRLOptions:
    """How rollouts become rows. Raises `ConfigError` for a `credit` that SkyRL would turn into something else."""

    eos_token_id: int
    """Stands, masked, where a rollout has no response: SkyRL wants one id at least."""
    credit: Credit = "final"
    step_wise: bool = False
    """One row a turn: the same as SkyRL's `generator.step_wise_trajectories`."""
    discount: float | None = None
    """Of a later turn's reward: 1 by default in `return_to_go`, 0 in `turn_as_trajectory`."""
    max_length: int | None = None
    """Ids of prompt and response; turns that end beyond it are not trained."""

    def __post_init__(self) -> None:
        problems = []
        if self.credit not in get_args(Credit):
            message = f"is `{self.credit}`; {suggestion(self.credit, get_args(Credit), kind='credits')}"
            problems.append(ConfigProblem("SkyRLOptions", "credit", message))
        if self.credit in ("return_to_go", "turn_as_trajectory") and not self.step_wise:
            message = (
                f"`{self.credit}` needs one row a turn, as SkyRL's estimators add up the rewards of a row: set "
                "`step_wise`, and SkyRL's `generator.step_wise_trajectories`"
            )
            problems.append(ConfigProblem("SkyRLOptions", "credit", message))
        if self.discount is not None and self.credit in ("final", "turn"):
            message = f"is {self.discount:g}, yet `{self.credit}` discounts nothing: leave it out"
            problems.append(ConfigProblem("SkyRLOptions", "discount", message))
        if problems:
            raise ConfigError(problems)

    @classmethod
    def of(cls, recipe: Recipe, *, eos_token_id: int) -> SkyRLOptions:
        """As a recipe says it; its `gamma` discounts returns.

        Raises `ConfigError` where it asks for an estimator that SkyRL lacks, or for a credit that is refused above.
        """
        if recipe.estimator in ("turn_gae", "bi_level_gae"):
            message = f"asks for `{recipe.estimator}`, which SkyRL does not have; TRL's `GymGRPOTrainer` does"
            raise ConfigError([recipe.problem("estimator", message)])
        return cls(
            eos_token_id=eos_token_id,
            credit=recipe.credit,
            step_wise=recipe.shape == STEP_WISE,
            discount=recipe.gamma if recipe.credit == "return_to_go" else None,
            max_length=recipe.max_length,
        )

    @property
    def turns_stand_alone(self) -> bool:
        """Whether each turn is a trajectory of its own to SkyRL."""
        return self.step_wise and self.credit != "final"


@dataclass(frozen=True)
class Episode:
    """A rollout, and the place that SkyRL gave it."""

    trajectory_id: TrajectoryId
    trajectory: Trajectory
    masked: bool = False
    """Whether `instance_config.mask_sample` says that nothing may be learned from it."""

    @property
    def counts(self) -> bool:
        """Whether it takes part in baselines."""
        return not (self.masked or self.trajectory.failed)


def episode_of(rollout: Rollout, trajectory_id: TrajectoryId) -> Episode:
    """Raises `TrajectoryError` where the rollout is none."""
    trajectory = trajectory_of(rollout, group_id=trajectory_id.instance_id, trajectory_id=trajectory_id.to_string())
    mask = (rollout.get("instance_config") or {}).get("mask_sample") is True
    return Episode(trajectory_id, trajectory, masked=mask)


def episodes_of(rollouts: Iterable[Rollout]) -> list[Episode]:
    """Stored rollouts, those of a task beside each other as SkyRL needs them."""
    ordered = sorted(rollouts, key=lambda rollout: (rollout[TASK_INDEX], rollout[ROLLOUT_INDEX]))
    return [episode_of(each, TrajectoryId(str(each[TASK_INDEX]), each[ROLLOUT_INDEX])) for each in ordered]


def generator_output(episodes: Sequence[Episode], options: SkyRLOptions) -> GeneratorOutput:
    """The rows of these rollouts, in their order: one each, or one a turn with `step_wise`.

    In one row a rollout, one that forked gives its last segment; what it earned in all stays its reward. A rollout that
    failed is one row without loss whose reward is the mean of its group's, so that it moves no baseline: SkyRL would
    count any other number. Raises `MissingTokensError` where ids were not recorded.
    """
    if not episodes:
        raise TrajectoryError("there are no rollouts to make rows of")
    rows = [row for episode in episodes for row in _rows_of(episode, options)]
    if options.turns_stand_alone:
        rows = _each_its_own(rows)
    if options.credit == "turn_as_trajectory":
        rows = _less_the_mean_of_the_turn(rows)
    rows = _with_the_groups_mean_for_none(rows)
    scalars = options.step_wise or options.credit != "turn"
    return GeneratorOutput(
        prompt_token_ids=[row.prompt_ids for row in rows],
        response_ids=[row.response_ids for row in rows],
        rewards=[row.total for row in rows] if scalars else [row.token_rewards() for row in rows],
        loss_masks=[row.loss_mask for row in rows],
        stop_reasons=[row.stop_reason for row in rows],
        rollout_logprobs=[row.log_probs for row in rows],
        trajectory_ids=[row.trajectory_id for row in rows],
        is_last_step=[row.is_last_step for row in rows] if options.step_wise else None,
        env_metrics=[row.facts() for row in rows],
        rollout_metrics=_metrics(episodes, rows),
    )


@dataclass(frozen=True)
class _Row:
    """One row of the output."""

    trajectory_id: TrajectoryId
    sample: Sample
    prompt_ids: list[int]
    response_ids: list[int]
    loss_mask: list[int]
    log_probs: list[float]
    reward: float | None
    """None takes no part in baselines."""
    is_last_step: bool
    earned: dict[int, float] = field(default_factory=dict)
    """Of one row a rollout: rewards by position in the response; they sum to `reward`."""

    @property
    def total(self) -> float:
        assert self.reward is not None, "filled before it is read"
        return self.reward

    def token_rewards(self) -> list[float]:
        rewards = [0.0] * len(self.response_ids)
        for position, reward in (self.earned or {-1: self.total}).items():
            rewards[position] += reward
        return rewards

    @property
    def stop_reason(self) -> str:
        if self.sample.failure_class is not None:
            return "error"
        return "length" if self.sample.truncated or self.sample.finish_reasons[-1:] == ("length",) else "stop"

    def facts(self) -> dict[str, Any]:
        sample = self.sample
        return {
            "rollout": sample.trajectory_id,
            "turns": list(sample.turns),
            "turn_rewards": sample.turn_rewards.tolist(),
            "turn_returns": sample.turn_returns.tolist(),
            "episode_reward": sample.episode_reward,
            "reward_components": dict(sample.reward_components),
            "policy_versions": list(sample.policy_versions),
            "stop_reason": sample.stop_reason,
            "failure_class": sample.failure_class,
        }


def _rows_of(episode: Episode, options: SkyRLOptions) -> list[_Row]:
    samples = samples_of(episode.trajectory, STEP_WISE if options.step_wise else WHOLE, max_length=options.max_length)
    trained = [sample for sample in samples if not sample.is_placeholder]
    if not trained:
        reward = None if options.turns_stand_alone or not episode.counts else episode.trajectory.reward
        return [_row(episode, samples[-1], options, reward=reward)]
    if not options.step_wise:
        return [_whole(episode, trained[-1], samples, options)]
    last = trained[-1]
    if options.credit == "final":
        rewards = [episode.trajectory.reward if sample is last else 0.0 for sample in trained]
    else:
        rewards = _returns(trained, options)
    return [
        _row(episode, sample, options, reward=reward, is_last_step=sample is last)
        for sample, reward in zip(trained, rewards, strict=True)
    ]


def _returns(steps: Sequence[Sample], options: SkyRLOptions) -> list[float | None]:
    """Each step's reward with what came after it, discounted as the credit says."""
    default = 1.0 if options.credit == "return_to_go" else 0.0
    discount = default if options.discount is None else options.discount
    returns: list[float | None] = []
    following = 0.0
    for step in reversed(steps):
        following = (step.reward or 0.0) + discount * following
        returns.append(following)
    return returns[::-1]


def _whole(episode: Episode, sample: Sample, samples: Sequence[Sample], options: SkyRLOptions) -> _Row:
    """One row a rollout. Rewards of turns that are not in it: earlier ones at its first id, later ones at its last."""
    row = _row(episode, sample, options, reward=episode.trajectory.reward)
    here, last = samples.index(sample), len(row.response_ids) - 1
    earned: dict[int, float] = defaultdict(float)
    for end, reward in zip(np.flatnonzero(sample.turn_end) - sample.prompt_length, sample.turn_rewards, strict=True):
        earned[int(end)] += float(reward)
    earned[0] += sum(other.reward or 0.0 for other in samples[:here])
    earned[last] += sum(other.reward or 0.0 for other in samples[here + 1 :]) + sample.dropped_reward
    return replace(row, earned=earned)


def _row(
    episode: Episode, sample: Sample, options: SkyRLOptions, *, reward: float | None, is_last_step: bool = True
) -> _Row:
    start = sample.prompt_length
    counts = episode.counts
    return _Row(
        trajectory_id=episode.trajectory_id,
        sample=sample,
        prompt_ids=sample.ids[:start].tolist() or [options.eos_token_id],
        response_ids=sample.ids[start:].tolist() or [options.eos_token_id],
        loss_mask=(sample.loss_mask[start:] & counts).astype(np.int64).tolist() or [0],
        log_probs=sample.log_probs[start:].tolist() or [0.0],
        reward=reward if counts else None,
        is_last_step=is_last_step,
    )


def _each_its_own(rows: Sequence[_Row]) -> list[_Row]:
    """Every row the only step of a trajectory, numbered within its group."""
    numbers: dict[str, int] = defaultdict(int)
    alone = []
    for row in rows:
        group = row.trajectory_id.instance_id
        alone.append(replace(row, trajectory_id=TrajectoryId(group, numbers[group]), is_last_step=True))
        numbers[group] += 1
    return alone


def _less_the_mean_of_the_turn(rows: Sequence[_Row]) -> list[_Row]:
    """Rewards relative to the same turn of the group's rollouts. A group's mean is zero then: SkyRL's has no effect."""
    means = _means([((row.trajectory_id.instance_id, row.sample.step), row.reward) for row in rows])
    return [
        row
        if row.reward is None
        else replace(row, reward=row.reward - means[row.trajectory_id.instance_id, row.sample.step])
        for row in rows
    ]


def _with_the_groups_mean_for_none(rows: Sequence[_Row]) -> list[_Row]:
    """A reward for each row. Only the last steps of trajectories are compared; a group without any has zero."""
    means = _means([(row.trajectory_id.instance_id, row.reward) for row in rows if row.is_last_step])
    return [
        replace(row, reward=means.get(row.trajectory_id.instance_id, 0.0), earned={}) if row.reward is None else row
        for row in rows
    ]


def _means(rewards: Iterable[tuple[Any, float | None]]) -> dict[Any, float]:
    """Mean by group of the rewards that are not None."""
    groups: dict[Any, list[float]] = defaultdict(list)
    for group, reward in rewards:
        if reward is not None:
            groups[group].append(reward)
    return {group: float(np.mean(values)) for group, values in groups.items()}


def _metrics(episodes: Sequence[Episode], rows: Sequence[_Row]) -> dict[str, float]:
    """SkyRL averages over batches what has `mean` in its name, and adds up the rest."""
    done = [episode.trajectory for episode in episodes if episode.counts]
    trained = sum(len(row.sample.turns) for row in rows if any(row.loss_mask))
    metrics: dict[str, float] = {
        "gym/num_rollouts": len(episodes),
        "gym/num_failed": sum(episode.trajectory.failed for episode in episodes),
        "gym/num_masked": sum(episode.masked and not episode.trajectory.failed for episode in episodes),
        "gym/num_forks": sum(trajectory.num_forks for trajectory in done),
        "gym/num_untrained_turns": sum(len(trajectory.turns) for trajectory in done) - trained,
    }
    for kind in sorted({episode.trajectory.failure_class for episode in episodes} - {None}, key=str):
        metrics[f"gym/num_failed/{kind}"] = sum(episode.trajectory.failure_class == kind for episode in episodes)
    if done:
        metrics["gym/mean_reward"] = float(np.mean([trajectory.reward for trajectory in done]))
        metrics["gym/mean_turns"] = float(np.mean([len(trajectory.turns) for trajectory in done]))
    return {name: float(value) for name, value in metrics.items()}
