"""RolloutCollectionConfig: what a user says about a collection of rollouts, on the command line or in a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from nemo_gym.config.nearest import nearest
from nemo_gym.config.options import OptionsModel
from nemo_gym.config.places import find_file
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.prompt import load_prompt_config
from nemo_gym.rollouts.collection import DEFAULT_MAX_ATTEMPTS, CollectionOptions
from nemo_gym.rollouts.plan import PlanOptions
from nemo_gym.rollouts.rows import unknown_agent
from nemo_gym.rollouts.running import DEFAULT_PARALLEL, DEFAULT_ROLLOUT_TIMEOUT_S
from nemo_gym.rollouts.running_servers import HeadServerAddress
from nemo_gym.schemas.responses import ResponseCreateParams

MISSPELT = 0.85
"""So alike (0–1) to a known parameter, an unknown one is a slip. Further parameters may be given: engines have more."""


class RolloutCollectionConfig(OptionsModel):
    """Options of `ng_collect_rollouts`, which programs may make as well."""

    input_jsonl_fpath: Path
    """The task rows."""
    output_jsonl_fpath: Path
    """Where results go; the other files go beside it."""
    agent_name: str | None = None
    """Agent of rows without `agent_ref`. Not needed if only one agent runs."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many rows, from the start of the file."""
    num_repeats: int = Field(default=1, ge=1)
    """Rollouts per row."""
    num_samples_in_parallel: int = Field(default=DEFAULT_PARALLEL, ge=1)
    """Rollouts in flight at a time."""
    responses_create_params: dict[str, Any] = Field(default_factory=dict)
    """Set over each row's own: `{temperature: 0.5}`."""
    prompt_config: Path | None = None
    """YAML: the prompt of rows without `input`."""
    resume_from_cache: bool = False
    """Continue what lies there; same arguments."""
    overwrite: bool = False
    """Throw away what lies in the output files."""
    max_failed: int = Field(default=0, ge=0)
    """So many failed rollouts still count as success."""
    max_attempts: int = Field(default=DEFAULT_MAX_ATTEMPTS, ge=1)
    """Attempts at one rollout, over all resumed runs."""
    rollout_timeout_s: float = Field(default=DEFAULT_ROLLOUT_TIMEOUT_S, gt=0)
    """Seconds that one rollout may take."""
    whole_prompt_token_ids: bool = False
    """Keep every prompt's ids, not only what it adds."""
    head_server: HeadServerAddress | None = None
    """Its `.host` and `.port`, if not this folder's."""

    @field_validator("responses_create_params")
    @classmethod
    def _is_spelt_right(cls, params: dict[str, Any]) -> dict[str, Any]:
        known = ResponseCreateParams.model_fields
        for name in params.keys() - known.keys():
            best = nearest(name, known, cutoff=MISSPELT)
            if best is not None:
                raise ValueError(f"`{name}` is no request parameter; did you mean `{best}`?")
        return params

    @model_validator(mode="after")
    def _resume_or_overwrite(self) -> Self:
        if self.resume_from_cache and self.overwrite:
            raise ValueError("+resume_from_cache=true and +overwrite=true contradict each other: give one")
        return self

    def of(self, agents: Sequence[str]) -> CollectionOptions:
        """The collection meant, in a run with these agents. Raises `ConfigError` where its agent is none of them."""
        agent = self.agent_name
        if agent is not None and agent not in agents:
            raise ConfigError([ConfigProblem("command line", "agent_name", unknown_agent(agent, agents))])
        if agent is None and len(agents) == 1:
            agent = agents[0]
        given = self.input_jsonl_fpath
        return CollectionOptions(
            input_path=given if given.exists() else find_file(str(given), Path.cwd()) or given,
            output_path=self.output_jsonl_fpath,
            plan=PlanOptions(
                agent_name=agent,
                limit=self.limit,
                num_repeats=self.num_repeats,
                responses_create_params=self.responses_create_params,
                prompt=load_prompt_config(self.prompt_config) if self.prompt_config else None,
            ),
            num_parallel=self.num_samples_in_parallel,
            rollout_timeout_s=self.rollout_timeout_s,
            resume=self.resume_from_cache,
            overwrite=self.overwrite,
            max_attempts=self.max_attempts,
            whole_prompt_token_ids=self.whole_prompt_token_ids,
        )
