"""Loading: config files, env.yaml and the command line become one `GymConfig`, or all their mistakes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nemo_gym.config import places
from nemo_gym.config.findings import Findings
from nemo_gym.config.inherit import inherit
from nemo_gym.config.instance import GymConfig
from nemo_gym.config.nearest import nearest
from nemo_gym.config.overrides import COMMAND_LINE, Action, Override, parse_overrides
from nemo_gym.config.preflight import preflight
from nemo_gym.config.references import POLICY_CONFIGS
from nemo_gym.config.resolve import resolve
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.errors import ConfigError, ConfigProblem

CONFIG_PATHS = "config_paths"
ENV_FILE = "env.yaml"
"""Read from the working directory; holds what differs between machines and must not be committed."""
INITIAL = "initial values"
"""Stands for the file where values are handed over by a program."""


def load_config(
    argv: Sequence[str],
    *,
    cwd: Path,
    options: Collection[str] = (),
    initial: Mapping[str, Any] | None = None,
    initial_name: str = INITIAL,
    files: Sequence[str] = (),
    env_file: Path | None = Path(ENV_FILE),
) -> GymConfig:
    """Merge, resolve and check a whole configuration.

    `argv` are the arguments after the command's name. `options` names keys that belong to the command itself: they
    are left out here and read by `parse_options`. `initial` are values from a program that embeds the gym, and
    `initial_name` is what problems call them. `files` are read before those of `config_paths`.
    `env_file` is what stands for `env.yaml`, and need not exist; None: there is none.

    Precedence, rising: the files of `config_paths` in order (a file's own `config_paths` come before it), `env.yaml`
    in `cwd`, `initial`, the command line. Paths are looked up in `cwd`, then in the install.

    Raises `ConfigError` with every mistake found, in the order of this list.
    """
    overrides, problems = parse_overrides(argv)
    unreadable = [tuple(problem.key.split(".")) for problem in problems if problem.key]
    overrides = [_normal(override) for override in overrides if override.path[0] not in options]
    layers = _Layers(cwd=cwd, problems=problems, is_complete=(CONFIG_PATHS,) not in unreadable)
    env_name = str(env_file or ENV_FILE)
    env = layers.read_env(env_file)

    tree = ConfigTree()
    tree.add(env, env_name)
    tree.add(initial or {}, initial_name)
    for override in overrides:
        if override.path == (CONFIG_PATHS,):
            tree.apply(override)
    layers.read_all(tree.values, list(files), initial_name)
    layers.read_all(tree.values, tree.values.get(CONFIG_PATHS), tree.origin((CONFIG_PATHS,)))

    tree = ConfigTree()
    for name, values in layers.files:
        tree.add(values, name)
    tree.add(env, env_name)
    tree.add(initial or {}, initial_name)
    for override in overrides:
        problem = tree.apply(override)
        if problem is not None and layers.is_complete:
            problems.append(problem)
    findings = Findings(tree, is_complete=layers.is_complete)
    for path in unreadable:  # what refers to a key that was meant to be set is not wrong for that
        if not tree.holds(path):
            tree.apply(Override(Action.SET, path, None, ""))
        findings.silence(path)

    inherit(tree, findings)
    values = resolve(tree, findings)
    sources = tuple(name for name, _ in layers.files) + ((env_name,) if env else ())
    config = preflight(tree, values, findings, cwd=cwd, options=options, sources=sources)
    problems.extend(findings.problems)
    if not problems and not config.instances:
        message = f"no server is configured; name config files, as in `+config_paths=[{POLICY_CONFIGS[-1]}]`"
        problems.append(ConfigProblem(COMMAND_LINE, "", message))
    if problems:
        raise ConfigError(problems)
    return config


def _normal(override: Override) -> Override:
    """`config_paths=…` means `+config_paths=…`: there is always such a key."""
    if override.path == (CONFIG_PATHS,) and override.action is Action.CHANGE:
        return replace(override, action=Action.SET)
    return override


@dataclass
class _Layers:
    """The files of a configuration, read once each."""

    cwd: Path
    problems: list[ConfigProblem]
    files: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Name as the user wrote it, and values, in rising precedence."""
    is_complete: bool = True
    """Whether every file was found and read."""
    _seen: set[Path] = field(default_factory=set)

    def read_env(self, env_file: Path | None) -> dict[str, Any]:
        path = self.cwd / env_file if env_file else None
        return self._read(path, str(env_file)) if path and path.is_file() else {}

    def read_all(self, known: Mapping[str, Any], config_paths: object, source: str) -> None:
        """Read the files of a `config_paths` value that stands in `source`; `known` are values it may refer to."""
        for name in self._names(known, config_paths, source):
            path = places.find_file(name, self.cwd)
            if path is None:
                self.is_complete = False
                self.problems.append(ConfigProblem(source, CONFIG_PATHS, self._explain_absent(name)))
            elif path not in self._seen:
                self._seen.add(path)
                values = self._read(path, name)
                self.read_all({**known, **values}, values.get(CONFIG_PATHS), name)
                self.files.append((name, values))

    def _names(self, known: Mapping[str, Any], config_paths: object, source: str) -> list[str]:
        if config_paths is None:
            return []
        tree = ConfigTree()
        tree.add({**known, CONFIG_PATHS: config_paths}, source)
        findings = Findings(tree)
        names = resolve(tree, findings)[CONFIG_PATHS]
        wrong = [problem for problem in findings.problems if problem.key.startswith(CONFIG_PATHS)]
        if isinstance(names, str):
            names = [names]
        if not wrong and not (isinstance(names, list) and all(isinstance(name, str) and name for name in names)):
            wrong = [ConfigProblem(source, CONFIG_PATHS, "must be a list of files, as in `[a.yaml,b.yaml]`")]
        if wrong:
            self.is_complete = False
            self.problems.extend(wrong)
            return []
        return list(names)

    def _read(self, path: Path, name: str) -> dict[str, Any]:
        values, problems = read_yaml(path, name)
        if problems:
            self.is_complete = False
            self.problems.extend(problems)
        return values

    def _explain_absent(self, name: str) -> str:
        known = places.config_files(self.cwd)
        same_name = [each for each in known if Path(each).name in {Path(name).name, f"{Path(name).name}.yaml"}]
        best = nearest(name, same_name, cutoff=0.0) or nearest(name, known)
        advice = f"; did you mean `{best}`?" if best else ""
        return f"there is no file `{shown(name)}`, here or in the install{advice}"
