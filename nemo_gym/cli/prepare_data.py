"""`ng_prepare_data`: check every task row and write the files that training, validation or a look at examples takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

from pydantic import Field

from nemo_gym.cli.command import command
from nemo_gym.cli.stopping import tell
from nemo_gym.config.instance import GymConfig
from nemo_gym.config.load import load_config
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.datasets.preparation import PreparationOptions, Prepared, prepare_datasets
from nemo_gym.datasets.source import DatasetSource, agents_of, declared_kinds, declared_sources
from nemo_gym.errors import ConfigError, ConfigProblem

COMMAND = "ng_prepare_data"
SUMMARY = "check every task row; write train.jsonl, validation.jsonl or example.jsonl"
EXAMPLE = (
    f"{COMMAND} +input_jsonl_fpath=resources_servers/calendar/data/example.jsonl "
    "+agent_name=calendar_simple_agent +output_dirpath=results/calendar_data"
)
KINDS = {"train_preparation": ("train", "validation"), "example_validation": ("example",)}
"""By mode, the kinds of datasets that it takes; the first is that of files given by path."""


class PrepareDataOptions(OptionsModel):
    """Options of `ng_prepare_data`."""

    output_dirpath: Path
    """Folder for the files and their metrics."""
    config_paths: list[str] = Field(default_factory=list)
    """Configs whose agents' `datasets` are taken."""
    input_jsonl_fpath: Path | list[Path] = Field(default_factory=list)
    """One file or a list, besides those or instead."""
    mode: Literal["train_preparation", "example_validation"] = "train_preparation"
    """Datasets to take, train and validation, or example ones."""
    agent_name: str | None = None
    """Only its datasets; agent of given files' rows that
    name none."""
    num_repeats: int = Field(default=1, ge=1)
    """Copies of each row of given files."""
    convert_chat: bool = False
    """Convert chat-format rows (`messages`)."""
    drop_bad_rows: bool = False
    """Leave bad rows out; else nothing is written."""
    shuffle_seed: int | None = None
    """Shuffle, the same way for the same number."""
    should_download: bool = False
    """Accepted; nothing is ever downloaded."""


def main() -> NoReturn:
    command(prepare_data)


def prepare_data(argv: list[str]) -> int:
    """Write the files. Raises `ConfigError`, or `DataError` naming the bad rows: then nothing was written."""
    if wants_help(argv):
        print(help_text(PrepareDataOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    has_config = any(argument.lstrip("+").startswith("config_paths=") for argument in argv)
    options = parse_options(argv, PrepareDataOptions, command=COMMAND, with_config=has_config)
    config = load_config(argv, cwd=Path.cwd(), options=_OWN_OPTIONS) if has_config else None
    if options.should_download:
        tell(COMMAND, "nothing is downloaded here: the files must lie where `jsonl_fpath` says")
    agents = agents_of(config) if config else None
    prepared = prepare_datasets(
        PreparationOptions(
            sources=_sources(options, config),
            output_dir=options.output_dirpath,
            agents=agents,
            drop_bad_rows=options.drop_bad_rows,
            convert_chat=options.convert_chat,
            shuffle_seed=options.shuffle_seed,
        )
    )
    _show(prepared)
    return 0


_OWN_OPTIONS = [name for name in PrepareDataOptions.model_fields if name != "config_paths"]


def _sources(options: PrepareDataOptions, config: GymConfig | None) -> list[DatasetSource]:
    kinds = KINDS[options.mode]
    given = options.input_jsonl_fpath if isinstance(options.input_jsonl_fpath, list) else [options.input_jsonl_fpath]
    agent, agents = options.agent_name, agents_of(config) if config else []
    if config and agent is not None and agent not in agents:
        message = f"no agent `{agent}` is configured; {suggestion(agent, agents, kind='agents')}"
        raise ConfigError([ConfigProblem(COMMAND_LINE, "agent_name", message)])
    sources = declared_sources(config, kinds, Path.cwd()) if config else []
    sources = [source for source in sources if agent in (None, source.agent)]
    if agent is None and len(agents) == 1:
        [agent] = agents
    sources += [DatasetSource(path.stem, kinds[0], path, agent, options.num_repeats) for path in given]
    if sources:
        return sources
    if config is None:
        message = "say what to prepare: +config_paths=[…] with agents that declare `datasets`, or +input_jsonl_fpath=…"
        raise ConfigError([ConfigProblem(COMMAND_LINE, "", message)])
    there = declared_kinds(config)
    found = f"there are only {', '.join(f'`{kind}`' for kind in there)}" if there else "there are none"
    other = next((mode for mode in KINDS if set(KINDS[mode]) & set(there)), None)
    advice = f"; +mode={other} takes those" if other else ""
    message = f"no agent declares `datasets` of type {' or '.join(f'`{kind}`' for kind in kinds)}, {found}{advice}"
    raise ConfigError([ConfigProblem(", ".join(options.config_paths), "datasets", message)])


def _show(prepared: Prepared) -> None:
    if prepared.num_dropped:
        tell(COMMAND, "\n  ".join([f"{prepared.num_dropped} bad rows left out", *prepared.bad_rows_shown]))
    for file in prepared.files:
        rows = f"{file.num_rows} rows" + (f" of {file.num_tasks} tasks" if file.num_rows != file.num_tasks else "")
        print(f"{file.path}  {rows}, each checked\n{file.metrics_path}  what is in them")
    if prepared.num_converted:
        print(f"{prepared.num_converted} chat-format rows converted")
    if prepared.num_dropped:
        print(f"{prepared.bad_rows}  the {prepared.num_dropped} rows left out, and why")


if __name__ == "__main__":
    main()
