"""The task files of a preparation: those that agents declare in their `datasets`, and those given by path."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nemo_gym.config.instance import GymConfig, ServerInstance
from nemo_gym.config.places import find_file
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.prompt import PromptConfig, load_prompt_config
from nemo_gym.schemas.validation import explain

AGENTS = "responses_api_agents"


@dataclass(frozen=True)
class DatasetSource:
    """One task file to prepare. Made here, read by the preparation."""

    name: str
    kind: str
    """`train`, `validation` or `example`: the output file it goes to."""
    path: Path
    agent: str | None
    """Agent of the rows that name none."""
    num_repeats: int = 1
    license: str | None = None
    prompt: PromptConfig | None = None
    """Makes the input of rows that have none, from their fields."""


class DeclaredDataset(BaseModel):
    """An entry of an agent's `datasets`. Other keys (where a file was once downloaded from) are allowed, and unused."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: str
    jsonl_fpath: str
    num_repeats: int = 1
    license: str | None = None
    prompt_config: str | None = None


def declared_sources(config: GymConfig, kinds: Collection[str], cwd: Path) -> list[DatasetSource]:
    """The datasets of these kinds that agents declare, in the order of the configuration.

    Raises `ConfigError` with every entry that is wrong or whose file is not there: nothing is downloaded.
    """
    sources: list[DatasetSource] = []
    problems: list[ConfigProblem] = []
    for instance, key, entry in _entries(config.instances.values()):
        if entry.get("type") not in kinds:
            continue
        try:
            declared = DeclaredDataset.model_validate(entry)
        except ValidationError as error:
            problems += [ConfigProblem(instance.source, key, line) for line in explain(error)]
            continue
        path = find_file(declared.jsonl_fpath, cwd)
        if path is None:
            message = f"there is no file `{declared.jsonl_fpath}`, and nothing is downloaded here: put it there"
            problems.append(ConfigProblem(instance.source, f"{key}.jsonl_fpath", message))
            continue
        try:
            prompt = load_prompt_config(declared.prompt_config) if declared.prompt_config else None
        except ConfigError as error:
            problems += error.problems
            continue
        shown = path.relative_to(cwd) if path.is_relative_to(cwd) else path
        sources.append(
            DatasetSource(
                name=declared.name,
                kind=declared.type,
                path=shown,
                agent=instance.name,
                num_repeats=declared.num_repeats,
                license=declared.license,
                prompt=prompt,
            )
        )
    if problems:
        raise ConfigError(problems)
    return sources


def declared_kinds(config: GymConfig) -> list[str]:
    """Kinds of all datasets that agents declare."""
    return sorted({str(entry.get("type")) for _, _, entry in _entries(config.instances.values())})


def agents_of(config: GymConfig) -> list[str]:
    """Names of the agents of a configuration."""
    return [name for name, instance in config.instances.items() if instance.server_type == AGENTS]


def _entries(instances: Iterable[ServerInstance]) -> Iterable[tuple[ServerInstance, str, dict[str, Any]]]:
    """(agent, key, entry) of each declared dataset."""
    for instance in instances:
        if instance.server_type != AGENTS:
            continue
        for index, entry in enumerate(instance.settings.get("datasets") or ()):
            key = f"{instance.name}.{instance.server_type}.{instance.implementation}.datasets[{index}]"
            yield instance, key, entry
