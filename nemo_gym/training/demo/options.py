"""What can be chosen of `ng_train_demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from nemo_gym.config.options import OptionsModel


class TrainDemoOptions(OptionsModel):
    environment: Literal["code_lookup", "frozen_lake"] = "code_lookup"
    """Or frozen_lake."""
    output_dir: Path = Path("results/train_demo")
    """Folder for models, figures and the curve."""
    seed: int = Field(default=0, ge=0)
    """Of rows, weights and training."""
    steps: int | None = Field(default=None, ge=1)
    """Steps of GRPO, each on 128 rollouts (70 or 80)."""
    mode: Literal["whole", "step_wise"] = "whole"
    """A sample for each rollout, or step_wise: for each turn."""
    estimator: Literal["grpo", "rloo", "reinforce_plus_plus", "gae", "turn_gae", "bi_level_gae"] = "grpo"
    """Of advantages; the three gae have a critic."""
    num_batches_ahead: int = Field(default=0, ge=0)
    """Batches rolled out while earlier ones are trained."""
    learning_rate: float | None = Field(default=None, gt=0)
    """By default what suits the environment."""
    recipe: Path | None = None
    """YAML file in the keys of trainers' guides; the options given here win."""
    engine: Literal["torch_model", "vllm"] = "torch_model"
    """What samples: a model made on the spot, or a vLLM of yours."""
    base_url: str | None = None
    """Of your vLLM, with /v1."""
    model: Path | None = None
    """Folder that your vLLM serves, which is trained."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.engine == "vllm" and (self.base_url is None or self.model is None):
            raise ValueError("`engine=vllm` needs `+base_url=` of your vLLM and `+model=`, the folder that it serves")
        if self.engine != "vllm" and (self.base_url is not None or self.model is not None):
            raise ValueError("`base_url` and `model` are for `+engine=vllm`: the demo makes its own model otherwise")
        return self

    def given(self, name: str) -> bool:
        """Whether an option was chosen, rather than left as it is by default."""
        return name in self.model_fields_set
