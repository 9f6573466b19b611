"""The servers of the demo: environment, agent and model server, as `ng_run` starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemo_gym.launch.ports import find_open_port
from nemo_gym.training.demo.options import TrainDemoOptions
from nemo_gym.training.demo.task import DemoTask
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.recipe_config import with_recipe
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.weights import PolicyWeights, TorchModelWeights, VLLMWeights

MODEL_SERVER = "policy_model"
MODEL_CONFIGS = {
    "torch_model": "responses_api_models/torch_model/configs/torch_model.yaml",
    "vllm": "responses_api_models/vllm_model/configs/vllm_model_for_training.yaml",
}
ROLLOUTS_SIDE_BY_SIDE = 128


def server_config(
    task: DemoTask, policy_folder: Path, options: TrainDemoOptions, recipe: Recipe | None
) -> dict[str, Any]:
    """`initial_global_config_dict` of the run. Raises `ConfigError` for a recipe that does not fit."""
    values: dict[str, Any] = {
        "config_paths": [task.config_path, MODEL_CONFIGS[options.engine]],
        # Any port, so that several demos and an `ng_run` may run side by side.
        "head_server": {"host": "127.0.0.1", "port": find_open_port()},
        task.name: {"resources_servers": {task.name: dict(task.settings)}},
    }
    if options.engine == "vllm":
        model_name = str(options.model)  # what vLLM calls a model that it was given as a folder
        values |= {"policy_base_url": options.base_url, "policy_api_key": "none", "policy_model_name": model_name}
    else:
        values["policy_model_path"] = str(policy_folder.resolve())
        block = {"max_batch_size": ROLLOUTS_SIDE_BY_SIDE}
        values[MODEL_SERVER] = {"responses_api_models": {"torch_model": block}}
    return values if recipe is None else with_recipe(recipe, values, cwd=Path.cwd())


def policy_weights(gym: RunningGym, policy_folder: Path, options: TrainDemoOptions) -> PolicyWeights:
    """Where the trainer sends the policy's weights."""
    url = gym.client.directory[MODEL_SERVER].urls[0]
    if options.engine == "vllm":
        assert options.base_url is not None
        return VLLMWeights(options.base_url, policy_folder, model_server_url=url)
    return TorchModelWeights(url)
