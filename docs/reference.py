"""Writes the reference of the public modules from docstrings: `python docs/reference.py [folder] [module ...]`."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pdoc
import pdoc.render

from nemo_gym import __version__

PUBLIC = (
    "nemo_gym.base_resources_server",
    "nemo_gym.base_responses_api_model",
    "nemo_gym.base_responses_api_agent",
    "nemo_gym.config_types",
    "nemo_gym.schemas.responses",
    "nemo_gym.schemas.chat_completions",
    "nemo_gym.schemas.episode",
    "nemo_gym.schemas.rollout",
    "nemo_gym.errors",
    "nemo_gym.parsers.tags",
    "nemo_gym.parsers.numbers",
    "nemo_gym.parsers.boxed",
    "nemo_gym.parsers.json_text",
    "nemo_gym.parsers.tool_calls",
    "nemo_gym.parsers.actions",
    "nemo_gym.parsers.code_block",
    "nemo_gym.scoring.text_match",
    "nemo_gym.scoring.number_match",
    "nemo_gym.scoring.hash_answer",
    "nemo_gym.scoring.multiple_choice",
    "nemo_gym.scoring.items_match",
    "nemo_gym.scoring.weighted_reward",
    "nemo_gym.scoring.judge_text",
    "nemo_gym.converters",
    "nemo_gym.judge",
    "nemo_gym.prompt",
    "nemo_gym.prepare",
    "nemo_gym.reference_policies",
    "nemo_gym.environments",
    "nemo_gym.environments.action_game",
    "nemo_gym.environments.users",
    "nemo_gym.sandbox",
    "nemo_gym.testclient",
    "nemo_gym.env_checker",
    "nemo_gym.agent_loop.loop",
    "nemo_gym.agent_loop.budget",
    "nemo_gym.agent_loop.environment",
    "nemo_gym.agent_loop.model",
    "nemo_gym.agent_loop.failure",
    "nemo_gym.serving.server_client",
    "nemo_gym.serving.http",
    "nemo_gym.openai_client",
    "nemo_gym.rollouts.collection_helper",
    "nemo_gym.rollouts.collection_config",
    "nemo_gym.training.credit",
    "nemo_gym.training.normalisation",
    "nemo_gym.training.group_filters",
    "nemo_gym.training.advantages",
    "nemo_gym.training.task_rows",
    "nemo_gym.training.rollouts",
    "nemo_gym.training.trl",
    "nemo_gym.training.skyrl",
    "nemo_gym.training.skyrl_generator",
    "nemo_gym.training.verl",
    "nemo_gym.launch.run_helper",
    "nemo_gym.config.load",
    "nemo_gym.config.initial",
    "nemo_gym.datasets.chat_rows",
    "nemo_gym.openai_utils",
    "nemo_gym.server_utils",
    "nemo_gym.global_config",
    "nemo_gym.reward_profile",
    "nemo_gym.rollout_collection",
)
"""What authors and trainers import, homes before doors."""

WITH_TRL = ("nemo_gym.training.trl",)
"""Left out where TRL, whose classes they extend, is not installed."""

_ONLY_WHAT_PACKAGES_EXPORT = r"!nemo_gym\.(converters|env_checker|reference_policies|training\.trl)\."


def write_reference(folder: Path, modules: tuple[str, ...] = PUBLIC) -> None:
    """One HTML page per module and an `index.html`, into `folder`."""
    pdoc.render.configure(docformat="markdown", show_source=False, footer_text=f"nemo-gym {__version__}")
    if find_spec("trl") is None:
        modules = tuple(name for name in modules if name not in WITH_TRL)
    with warnings.catch_warnings():
        # A door loads this one when it is asked for, which pdoc does not; it stands on the page of its home.
        warnings.filterwarnings("ignore", message=".*GlobalConfigDictParserConfig")
        pdoc.pdoc(*modules, _ONLY_WHAT_PACKAGES_EXPORT, output_directory=folder)


if __name__ == "__main__":
    target, *names = sys.argv[1:] or ["build/reference"]
    write_reference(Path(target), tuple(names) or PUBLIC)
