"""Recipe: how to train, in the keys of the trainers' own guides; made into settings of servers, rows and samples.

    recipe = Recipe.read("recipe.yaml")
    recipe.agent_overrides()     settings of the agent: turns, environment, conversation format
    recipe.row_to_run(row)       the row with the recipe's sampling parameters set over its own
    recipe.shape, .credit, .estimator, .gamma, …        for samples and advantages
    recipe.trainer_options       what only the trainer heeds, by dotted key

docs/recipes.md lists every key with what it does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.recipe_conflicts import add_conflicts, credit_of, estimator_of, without_effect
from nemo_gym.training.recipe_options import LOSSES_WITHOUT_LOG_PROBS, OFF, OPTIONS, SAMPLING, WITH_CRITIC
from nemo_gym.training.recipe_reading import GivenOptions, given_options, read_recipe

if TYPE_CHECKING:
    from nemo_gym.training.credit import Credit

log = logging.getLogger(__name__)

Estimator = Literal["grpo", "rloo", "reinforce_plus_plus", "gae", "turn_gae", "bi_level_gae"]
Shape = Literal["whole", "step_wise"]


@dataclass(frozen=True)
class Recipe:
    """Made by `read`; trainers and commands read it. None stands for what the recipe does not say."""

    source: str = "recipe"
    """The file, or what stands for it in errors."""
    key_of: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The key that said each option, for errors."""

    multi_turn: bool = True
    use_environment: bool = True
    """Whether an environment that talks back is played in turns."""
    use_conversation_multi_turn: bool = True
    """Whether each turn is a message of its own; else all turns are one assistant message."""
    max_turns: int | None = None
    """Model calls in an episode at most."""
    max_input_length: int | None = None
    """Tokens: no further model call once the conversation is this long."""
    max_output_tokens: int | None = None
    """Tokens of one turn at most."""
    environment: str | None = None
    """Folder of the environment below `resources_servers/`."""
    max_episode_length: int | None = None
    """Actions in an episode at most, where the environment counts them."""
    rollouts_per_task: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Request parameters by name, `max_output_tokens` among them."""

    shape: Shape = "whole"
    """Of `samples_of`."""
    merge_prefixes: bool = False
    """Of `samples_of`."""
    credit: Credit = "final"
    estimator: Estimator = "grpo"
    divide_by_std: bool = True
    """Whether `grpo` divides by the deviation of the group."""
    gamma: float = 1.0
    gae_lambda: float = 1.0
    high_level_gamma: float = 0.95

    policy_loss: str | None = None
    backend: Literal["vllm", "sglang"] | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    """`gpu_memory_utilization` and `max_num_seqs`, for an engine that is started here."""
    trainer_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the trainer has to heed, by dotted key, as it was written."""

    @classmethod
    def read(cls, source: Mapping[str, Any] | str | Path, arguments: Sequence[str] = ()) -> Recipe:
        """From a YAML file, or from values; keys may be nested, dotted or both. `arguments` win over them.

        `arguments` are typed as for the trainers: `+key=value`, `key=value`, `--key value`.
        Logs once each option without effect. Raises `ConfigError` with every unknown key (and the nearest right one),
        unsuitable value, and contradiction.
        """
        if isinstance(source, Mapping):
            values, name, problems = dict(source), "recipe", list[ConfigProblem]()
        else:
            name = str(source)
            values, problems = read_recipe(Path(source))
        given = given_options(values, arguments, name)
        given.problems[:0] = problems
        add_conflicts(given)
        if given.problems:
            raise ConfigError(given.problems)
        recipe = cls._of(given)
        for line in [*without_effect(given), *recipe._fallback()]:
            log.warning("%s: %s", name, line)
        return recipe

    @classmethod
    def _of(cls, given: GivenOptions) -> Recipe:
        said = given.values
        same = cls.__dataclass_fields__.keys() & said.keys() - {"credit", "estimator"}
        sampling = {name: said[name] for name in SAMPLING if name in said and said[name] != OFF.get(name)}
        if said.get("chat_template_kwargs"):
            sampling["chat_template_kwargs"] = said["chat_template_kwargs"]
        engine: dict[str, Any] = {
            name: said[name] for name in ("gpu_memory_utilization", "max_num_seqs") if name in said
        }
        return cls(
            source=given.source,
            key_of=given.key_of,
            shape="step_wise" if said.get("step_wise") else "whole",
            credit=cast("Credit", credit_of(given)),
            estimator=cast(Estimator, estimator_of(given)),
            sampling=sampling | said.get("more_sampling_params", {}),
            engine=engine,
            trainer_options=given.passed,
            **{name: said[name] for name in same},
        )

    def _fallback(self) -> list[str]:
        if self.plays_turns:
            return []
        name = "use_environment" if self.multi_turn else "multi_turn"
        return [f"falling back to single turns, as `{self.key_of[name]}` is false"]

    def problem(self, option: str, message: str) -> ConfigProblem:
        """A mistake found later in what the recipe says of an option (by its name here)."""
        return ConfigProblem(self.source, self.key_of.get(option, OPTIONS[option].keys[0]), message)

    @property
    def plays_turns(self) -> bool:
        """Whether episodes may have several turns; else every row is one model call (`mode: single_turn`)."""
        return self.multi_turn and self.use_environment

    @property
    def max_length(self) -> int | None:
        """Tokens of a sample at most, for `samples_of`: the longest input with a whole generation after it."""
        if self.max_input_length is None or self.max_output_tokens is None:
            return None
        return self.max_input_length + self.max_output_tokens

    @property
    def needs_critic(self) -> bool:
        """Whether advantages need a critic's values."""
        return self.estimator in WITH_CRITIC

    @property
    def needs_turns(self) -> bool:
        """Whether advantages need to know where each turn ends."""
        return self.estimator in ("turn_gae", "bi_level_gae") or self.credit in ("return_to_go", "turn_as_trajectory")

    @property
    def needs_log_probs(self) -> bool:
        """Whether the loss needs the log-probability that each token was sampled at."""
        return self.policy_loss not in LOSSES_WITHOUT_LOG_PROBS

    def agent_overrides(self) -> dict[str, Any]:
        """Settings of `simple_agent`, as far as the recipe decides them."""
        settings: dict[str, Any] = {}
        if not self.plays_turns or self._says("multi_turn", "use_environment"):
            settings["use_environment"] = self.plays_turns
        if not self.use_conversation_multi_turn or self._says("use_conversation_multi_turn"):
            settings["use_conversation_multi_turn"] = self.use_conversation_multi_turn
        max_steps = self.max_turns if self.plays_turns else 1
        limits = {"max_steps": max_steps, "max_total_tokens": self.max_input_length}
        return settings | {name: limit for name, limit in limits.items() if limit is not None}

    def _says(self, *options: str) -> bool:
        return any(option in self.key_of for option in options)

    def row_params(self) -> dict[str, Any]:
        """What to set over each row's `responses_create_params`."""
        return dict(self.sampling)

    def row_to_run(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of a task row with `row_params()` set over its own."""
        return {**row, "responses_create_params": {**row["responses_create_params"], **self.row_params()}}
