"""`ng_reward_profile`: how hard each task is for the policy that was collected, and which tasks to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from pydantic import Field

from nemo_gym.cli.command import command
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.rollouts.profile import RewardProfile, Solved, TaskFilter, profile_rewards

COMMAND = "ng_reward_profile"
SUMMARY = "reward statistics of each task, from finished or growing rollouts"
EXAMPLE = f"{COMMAND} +rollouts_jsonl_fpath=results/calendar.jsonl +keep=sometimes"
BAR_WIDTH = 40


class RewardProfileOptions(OptionsModel):
    """Options of `ng_reward_profile`."""

    rollouts_jsonl_fpath: Path
    """Results of a collection."""
    materialized_inputs_jsonl_fpath: Path | None = None
    """Its rows, if not beside it."""
    output_jsonl_fpath: Path | None = None
    """Task rows with profiles; by default `X_reward_profile.jsonl`."""
    pass_threshold: float = 1.0
    """A rollout passes from this reward on."""
    keep: Solved | list[Solved] = Field(default_factory=list)
    """Only tasks that pass `always`, `sometimes`, `never`, or a list."""
    min_mean_reward: float | None = None
    """Only tasks with at least this mean."""
    max_mean_reward: float | None = None
    """Only tasks with at most this mean."""
    min_rollouts: int = Field(default=1, ge=1)
    """Only tasks with so many rollouts."""


def main() -> NoReturn:
    command(reward_profile)


def reward_profile(argv: list[str]) -> int:
    """Write the profiled tasks and print the summary."""
    if wants_help(argv):
        print(help_text(RewardProfileOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, RewardProfileOptions, command=COMMAND)
    rollouts = options.rollouts_jsonl_fpath
    output = options.output_jsonl_fpath or rollouts.with_name(f"{rollouts.stem}_reward_profile.jsonl")
    profile = profile_rewards(
        rollouts,
        output,
        inputs=options.materialized_inputs_jsonl_fpath,
        pass_threshold=options.pass_threshold,
        keep=_filter(options),
    )
    _show(profile, output)
    return 0


def _filter(options: RewardProfileOptions) -> TaskFilter:
    kept = options.keep if isinstance(options.keep, list) else [options.keep]
    default = TaskFilter()
    return TaskFilter(
        solved=frozenset(kept) or default.solved,
        min_mean_reward=default.min_mean_reward if options.min_mean_reward is None else options.min_mean_reward,
        max_mean_reward=default.max_mean_reward if options.max_mean_reward is None else options.max_mean_reward,
        min_rollouts=options.min_rollouts,
    )


def _show(profile: RewardProfile, output: Path) -> None:
    quarters = zip(("up to 1/4", "up to 1/2", "up to 3/4", "below 1"), profile.by_quarter, strict=True)
    rows = [("never (0)", profile.solved[Solved.NEVER]), *quarters, ("always (1)", profile.solved[Solved.ALWAYS])]
    most = max(count for _, count in rows) or 1
    print(f"{profile.num_rollouts} rollouts of {profile.num_tasks} tasks, mean reward {profile.mean_reward:.3f}\n")
    print("pass rate    tasks")
    for name, count in rows:
        print(f"{name:<10}  {count:>6}  {'#' * round(BAR_WIDTH * count / most)}".rstrip())
    if profile.num_without_rollouts:
        print(f"{'none yet':<10}  {profile.num_without_rollouts:>6}  no rollout has finished")
    print(f"\n{output}  {profile.num_written} tasks")


if __name__ == "__main__":
    main()
