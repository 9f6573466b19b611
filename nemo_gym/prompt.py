"""Prompt configs: a YAML file with the texts of a prompt, filled from the fields of a task row.

    system: You are a careful mathematician.
    user: |-
      Solve the problem and put the answer in \\boxed{{}}.
      {question}

`{name}` stands for a field of the row, `{{` and `}}` for braces.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from nemo_gym.config import places
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.errors import ConfigError, ConfigProblem, DataError
from nemo_gym.schemas.validation import places as mistakes_in


class PromptConfig(BaseModel):
    """The texts of a prompt. Made by `load_prompt_config`; `fill_prompt` reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    system: str | None = None

    @field_validator("user", "system")
    @classmethod
    def _has_named_places(cls, text: str | None) -> str | None:
        for name in fields_of(text or ""):
            if not name.isidentifier():
                raise ValueError(f"`{{{name}}}` names no field; for braces in the text write `{{{{` and `}}}}`")
        return text


def load_prompt_config(path: str | Path) -> PromptConfig:
    """The prompt config in a file, looked up in the working directory, the component's project, then the install.

    Raises `ConfigError` with every mistake in it.
    """
    found = places.find_file(str(path), Path.cwd())
    if found is None:
        raise ConfigError([ConfigProblem(str(path), "", "there is no such file, here or in the install")])
    values, problems = read_yaml(found, str(path))
    if problems:
        raise ConfigError(problems)
    try:
        return PromptConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError([ConfigProblem(str(path), key, text) for key, text in mistakes_in(error.errors())]) from None


def fill_prompt(prompt_config: PromptConfig, row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages of the prompt, system first if there is one, for `responses_create_params.input`.

    Raises `DataError` naming a field that the row lacks.
    """
    texts = {"system": prompt_config.system, "user": prompt_config.user}
    return [{"role": role, "content": _filled(text, row)} for role, text in texts.items() if text is not None]


def with_prompt(prompt_config: PromptConfig, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the prompt as its `responses_create_params.input`; other request parameters of the row stay.

    Raises `DataError` where the row has an input of its own, or lacks a field that the prompt needs.
    """
    params = row.get("responses_create_params") or {}
    if isinstance(params, dict) and params.get("input"):
        raise DataError("prompt", None, "is for rows without `responses_create_params.input`, and this one has its own")
    if not isinstance(params, dict):
        return dict(row)  # whoever checks the row says what is wrong with it
    return {**row, "responses_create_params": {**params, "input": fill_prompt(prompt_config, row)}}


def fields_of(text: str) -> list[str]:
    """Names of the fields that a text needs, in order. Raises ValueError for a brace that is not closed."""
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def _filled(text: str, row: Mapping[str, Any]) -> str:
    missing = [name for name in fields_of(text) if name not in row]
    if missing:
        advice = suggestion(missing[0], row, kind="its fields")
        raise DataError("prompt", None, f"needs the field `{missing[0]}`, which the row lacks; {advice}")
    return text.format_map(row)
