"""A recipe applied to a configuration: the environment it names, the limits it sets, the engine's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_gym.config import places
from nemo_gym.config.instance import GymConfig, ServerInstance
from nemo_gym.config.load import CONFIG_PATHS, ENV_FILE, load_config
from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.recipe import Recipe

_RESOURCES, _AGENTS, _MODELS = "resources_servers", "responses_api_agents", "responses_api_models"


def load_with_recipe(path: Path | None, argv: Sequence[str], *, cwd: Path, options: Collection[str] = ()) -> GymConfig:
    """The configuration of a command's arguments, with a recipe's file laid over the others, the arguments over all.

    Raises `ConfigError` as `load_config` does, for mistakes in the recipe, and where it asks for what no server has.
    """
    if path is None:
        return load_config(argv, cwd=cwd, options=options)
    recipe = Recipe.read(path)
    files = environment_files(recipe, cwd)
    plain = load_config(argv, cwd=cwd, options=options, files=files)
    laid_over = overrides(recipe, plain)
    return load_config(argv, cwd=cwd, options=options, files=files, initial=laid_over, initial_name=recipe.source)


def with_recipe(
    recipe: Recipe, values: Mapping[str, Any], *, cwd: Path, env_file: Path | None = Path(ENV_FILE)
) -> dict[str, Any]:
    """`initial_global_config_dict` of a program with the recipe's settings in it; they win over the program's.

    `values` are those that it would have been without, `env_file` what stands for `env.yaml` (None: nothing does).
    Raises `ConfigError` as `load_with_recipe` does.
    """
    named = values.get(CONFIG_PATHS) or []
    files = environment_files(recipe, cwd) + ([named] if isinstance(named, str) else list(named))
    merged = {**values, CONFIG_PATHS: files}
    return _merged(merged, overrides(recipe, load_config((), cwd=cwd, initial=merged, env_file=env_file)))


def environment_files(recipe: Recipe, cwd: Path) -> list[str]:
    """The config file of the recipe's environment, if it names one. Raises `ConfigError` for an unknown one."""
    name = recipe.environment
    if name is None:
        return []
    path = f"{_RESOURCES}/{name}/configs/{Path(name).name}.yaml"
    if places.find_file(path, cwd) is None:
        known = places.implementations(_RESOURCES, cwd)
        missing = f"has no file `{path}`" if name in known else suggestion(name, known, kind="environments")
        raise ConfigError([recipe.problem("environment", f"there is no environment `{name}`; {missing}")])
    return [path]


def overrides(recipe: Recipe, config: GymConfig) -> dict[str, Any]:
    """What the recipe sets in a configuration, as values that are laid over it.

    Raises `ConfigError` where it limits what no environment here limits, or names another engine than is started.
    """
    problems: list[ConfigProblem] = []
    values: dict[str, Any] = {}
    told = False
    for instance in config.instances.values():
        settings: dict[str, Any] = {}
        if instance.server_type == _AGENTS:
            settings = recipe.agent_overrides()
        elif instance.server_type == _RESOURCES:
            settings = _environment_settings(recipe, instance)
            told = told or "max_episode_length" in settings
        elif instance.server_type == _MODELS and instance.implementation == "local_vllm_model":
            if recipe.backend == "sglang":
                message = f"`{instance.name}` starts vLLM; use `vllm`, or openai_model before a running SGLang"
                problems.append(recipe.problem("backend", message))
            settings = {"vllm_serve_kwargs": dict(recipe.engine)} if recipe.engine else {}
        if settings:
            values[instance.name] = {instance.server_type: {instance.implementation: settings}}
    if recipe.max_episode_length is not None and not told:
        message = "no environment of this configuration has `max_episode_length` in its block; leave it out"
        problems.append(recipe.problem("max_episode_length", message))
    if problems:
        raise ConfigError(problems)
    return values


def _environment_settings(recipe: Recipe, instance: ServerInstance) -> dict[str, Any]:
    """Limits that an environment knows itself, so that it can say what is left."""
    max_turns = recipe.max_turns if recipe.plays_turns else None
    limits = {"max_turns": max_turns, "max_episode_length": recipe.max_episode_length}
    return {name: limit for name, limit in limits.items() if limit is not None and name in instance.settings}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        present = merged.get(key)
        both = isinstance(present, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(present, value) if both else value  # type: ignore[arg-type]
    return merged
