"""Preflight: every mistake that can be found before a server starts, all at once."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_gym.config import places
from nemo_gym.config.instance import DEFAULT_HEAD_PORT, DEFAULT_HOST, SERVER_TYPES, GymConfig, ServerInstance
from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.config.references import Reference, references_in
from nemo_gym.config.resolve import Resolved
from nemo_gym.config.tree import ConfigTree
from nemo_gym.errors import ConfigProblem

DATASET_TYPES = ("train", "validation", "example")
PLAIN_KEYS = ("config_paths", "head_server", "default_host", "port_range_low", "port_range_high")
"""Top-level keys with a meaning of their own."""

POLICY_MODEL = "policy_model"
POLICY_CONFIGS = (
    "responses_api_models/openai_model/configs/openai_model.yaml",
    "responses_api_models/scripted_model/configs/scripted_model.yaml",
)


@dataclass(frozen=True)
class _Block:
    """An instance as it is declared, whether or not it can be run."""

    name: str
    server_type: str
    implementation: str
    settings: dict[str, Any]

    @property
    def path(self) -> KeyPath:
        return (self.name, self.server_type, self.implementation)


class Preflight:
    """One look at a merged and resolved configuration. `check` fills `problems`."""

    def __init__(
        self, tree: ConfigTree, resolved: Resolved, *, cwd: Path, options: Collection[str], is_complete: bool
    ) -> None:
        """`is_complete`: every file could be read. If not, what is missing may be in the others and is not reported."""
        self.tree, self.values, self.broken = tree, resolved.values, resolved.broken
        self.cwd, self.options, self.is_complete = cwd, options, is_complete
        self.problems: list[ConfigProblem] = []
        self.declared: dict[str, str | None] = {}
        """Server type of every instance, None where the declaration itself is wrong."""

    def check(self, sources: tuple[str, ...]) -> GymConfig:
        """The configuration as one value, to be used only where `problems` stays empty."""
        host = self._host(("default_host",), self.values.get("default_host")) or DEFAULT_HOST
        blocks = self._blocks()
        instances = {block.name: self._instance(block, host) for block in blocks}
        head_host, head_port, head_is_explicit = self._head(host)
        self._check_ports(instances, (head_host, head_port) if head_is_explicit else None)
        self._check_references(blocks)
        if self.is_complete and not self.declared and not self.problems:
            example = "responses_api_models/scripted_model/configs/scripted_model.yaml"
            self._report((), f"no server is configured; name config files, as in `+config_paths=[{example}]`")
        return GymConfig(
            values=self.values,
            instances=instances,
            sources=sources,
            head_host=head_host,
            head_port=head_port,
            head_is_explicit=head_is_explicit,
            port_range=self._port_range(),
        )

    def _report(self, path: KeyPath, message: str) -> None:
        """Say what is wrong at a place, unless something was said of it already."""
        if any(path[:length] in self.broken for length in range(1, len(path) + 1)):
            return
        self.problems.append(ConfigProblem(self.tree.origin(path), dotted(path), message))

    # Declarations: which top-level keys are instances

    def _blocks(self) -> list[_Block]:
        blocks = []
        for name, value in self.values.items():
            if isinstance(value, dict) and name not in PLAIN_KEYS:
                if (block := self._block(name, value)) is not None:
                    blocks.append(block)
            else:
                self._check_plain_key(name)
        return blocks

    def _block(self, name: str, value: dict[str, Any]) -> _Block | None:
        """The instance under a top-level key; None where it is a plain mapping, or wrongly declared."""
        server_types = [key for key in value if key in SERVER_TYPES]
        if not server_types:
            self._check_near_instance(name, value)
            return None
        self.declared[name] = None
        if len(server_types) > 1:
            self._report_second(name, (name, server_types[0]), (name, server_types[1]), "server type")
            return None
        server_type = server_types[0]
        self.declared[name] = server_type
        for key in value:
            if key != server_type:
                best = nearest(key, SERVER_TYPES, cutoff=0.8)
                advice = (
                    f"did you mean `{best}`?" if best else f"settings belong under `{server_type}.<implementation>`"
                )
                self._report((name, key), f"beside `{server_type}` nothing else may stand; {advice}")
        return self._implementation(name, server_type, value[server_type])

    def _implementation(self, name: str, server_type: str, value: object) -> _Block | None:
        path = (name, server_type)
        if not isinstance(value, dict) or not value:
            known = suggestion("", places.implementations(server_type, self.cwd), kind="implementations")
            self._report(path, f"needs the folder that implements it and its settings below; {known}")
            return None
        first, *others = value
        if others:
            self._report_second(name, (*path, first), (*path, others[0]), "implementation")
            return None
        settings = value[first]
        if not isinstance(settings, dict):
            self._report((*path, first), "needs its settings below, at least `entrypoint: app.py`")
            return None
        return _Block(name, server_type, first, settings)

    def _report_second(self, name: str, first: KeyPath, second: KeyPath, what: str) -> None:
        """An instance with two server types or implementations: in one file, or by two files using one name."""
        here, there = self.tree.origin(second), self.tree.origin(first)
        if here == there:
            self._report(second, f"`{name}` has a second {what} beside `{first[-1]}`; an instance has exactly one")
            return
        self._report(
            second,
            f"`{name}` is already defined in {there} as `{'/'.join(str(part) for part in first[1:])}`; "
            "give one of the two another name",
        )

    def _check_near_instance(self, name: str, value: dict[str, Any]) -> None:
        """Report a mapping that is no instance but looks as if it was meant to be one."""
        if name in SERVER_TYPES:
            self.declared[name] = None
            self._report((name,), f"stands where an instance's name belongs; write `<name>:` with `{name}:` below it")
            return
        for key, child in value.items():
            if not isinstance(child, dict):
                continue
            best = nearest(key, SERVER_TYPES, cutoff=0.8)
            looks_like_type = any(isinstance(inner, dict) and "entrypoint" in inner for inner in child.values())
            if best is not None or looks_like_type:
                self.declared[name] = None
                self._report((name, key), f"is no server type; {suggestion(key, SERVER_TYPES, kind='server types')}")
            elif "entrypoint" in child:
                self.declared[name] = None
                self._report((name, key), f"the server type is missing between `{name}` and `{key}`: {_types()}")

    def _check_plain_key(self, name: str) -> None:
        """Report a single value whose key resembles one that means something, if nothing refers to it."""
        if name in PLAIN_KEYS or name in self.options or self._is_referred_to(name):
            return
        from_command_line = self.tree.origin((name,)) == COMMAND_LINE
        known = [*PLAIN_KEYS, *(self.options if from_command_line else ())]
        best = nearest(name, [key for key in known if key not in self.values], cutoff=0.8)
        if best is not None:
            self._report((name,), f"means nothing here; did you mean `{best}`?")

    def _is_referred_to(self, name: str) -> bool:
        return re.search(r"\$\{[^}]*\b" + re.escape(name) + r"\b", str(self.tree.values)) is not None

    # One instance

    def _instance(self, block: _Block, default_host: str) -> ServerInstance:
        entrypoint = self._entrypoint(block)
        folder = self._folder(block, entrypoint)
        self._check_datasets(block)
        return ServerInstance(
            name=block.name,
            server_type=block.server_type,
            implementation=block.implementation,
            folder=folder,
            entrypoint=entrypoint,
            host=self._host((*block.path, "host"), block.settings.get("host")) or default_host,
            port=self._port((*block.path, "port"), block.settings.get("port")),
            num_workers=self._num_workers(block),
            settings=block.settings,
            source=self.tree.origin(block.path),
        )

    def _entrypoint(self, block: _Block) -> str:
        entrypoint = block.settings.get("entrypoint")
        path = (*block.path, "entrypoint")
        if isinstance(entrypoint, str) and entrypoint:
            return entrypoint
        if entrypoint is not None:
            self._report(path, "must be a file name, as in `entrypoint: app.py`")
            return "app.py"
        others = [name for name in self.declared if name != block.name]
        best = nearest(block.name, others, cutoff=0.75)
        if "entrypoint" not in block.settings and best is not None:
            self._report(
                block.path, f"`{block.name}` has no `entrypoint`, so nothing defines it; did you mean `{best}`?"
            )
        elif "entrypoint" not in block.settings and self.tree.origin((block.name,)) == COMMAND_LINE:
            self._report(
                block.path, f"there is no instance `{block.name}`; {suggestion(block.name, others, kind='instances')}"
            )
        else:
            self._report(path, "is missing: the file in the folder to run, as in `entrypoint: app.py`")
        self.broken.add(path)
        return "app.py"

    def _folder(self, block: _Block, entrypoint: str) -> Path:
        folder = places.find_implementation(block.server_type, block.implementation, entrypoint, self.cwd)
        if folder is None:
            if (*block.path, "entrypoint") not in self.broken:
                known = places.implementations(block.server_type, self.cwd)
                advice = suggestion(block.implementation, known, kind=f"folders in {block.server_type}/")
                wanted = f"{block.server_type}/{block.implementation}"
                self._report(block.path, f"there is no folder `{wanted}`, here or in the install; {advice}")
            return self.cwd / block.server_type / block.implementation
        if not (folder / entrypoint).is_file():
            advice = suggestion(entrypoint, (file.name for file in folder.glob("*.py")), kind="Python files there")
            self._report((*block.path, "entrypoint"), f"there is no `{entrypoint}` in {folder}; {advice}")
        return folder

    def _num_workers(self, block: _Block) -> int:
        value = block.settings.get("num_workers")
        if value is None:
            return 1
        number = _whole_number(value)
        if number is None or number < 1:
            self._report((*block.path, "num_workers"), f"must be a whole number of at least 1, not `{value}`")
            return 1
        return number

    def _host(self, path: KeyPath, value: object) -> str | None:
        if value is None or (isinstance(value, str) and value and "/" not in value):
            return value
        self._report(path, f"must be a host name or address without `http://`, as in `127.0.0.1`, not `{value}`")
        return None

    def _port(self, path: KeyPath, value: object) -> int | None:
        if value is None:
            return None
        port = _whole_number(value)
        if port is None or not 1 <= port <= 65535:
            self._report(path, f"must be a whole number from 1 to 65535, not `{value}`; leave it out for a free port")
            return None
        return port

    def _check_datasets(self, block: _Block) -> None:
        datasets = block.settings.get("datasets")
        if datasets is None:
            return
        path = (*block.path, "datasets")
        if not isinstance(datasets, list):
            self._report(path, "must be a list: each entry starts with `- `")
            return
        for index, dataset in enumerate(datasets):
            here = (*path, index)
            if not isinstance(dataset, dict):
                self._report(here, "must have `name`, `type` and `jsonl_fpath`")
                continue
            kind = dataset.get("type")
            if kind not in DATASET_TYPES:
                advice = suggestion(str(kind or ""), DATASET_TYPES, kind="types")
                self._report((*here, "type"), f"`{kind}` is no type of dataset; {advice}")
            file = dataset.get("jsonl_fpath")
            # Other types are downloaded or prepared later; the example belongs to the environment itself.
            if kind == "example" and isinstance(file, str) and places.find_file(file, self.cwd) is None:
                siblings = (each.relative_to(self.cwd).as_posix() for each in (self.cwd / file).parent.glob("*.jsonl"))
                advice = f"; did you mean `{best}`?" if (best := nearest(file, siblings)) else ""
                self._report((*here, "jsonl_fpath"), f"there is no file `{file}`, here or in the install{advice}")

    # What instances have to do with each other

    def _check_ports(self, instances: dict[str, ServerInstance], head: tuple[str, int] | None) -> None:
        taken: dict[int, str] = {head[1]: "the head server"} if head else {}
        for instance in instances.values():
            if instance.port is None:
                continue
            other = taken.setdefault(instance.port, f"`{instance.name}`")
            if other != f"`{instance.name}`":
                path = (instance.name, instance.server_type, instance.implementation, "port")
                self._report(path, f"{instance.port} is also the port of {other}; leave one out for a free port")

    def _check_references(self, blocks: list[_Block]) -> None:
        unknown: dict[tuple[str, str], list[KeyPath]] = {}
        for block in blocks:
            for reference in references_in(block.settings, block.path):
                if reference.problem is not None:
                    self._report(reference.path, reference.problem)
                elif reference.name not in self.declared:
                    unknown.setdefault((reference.server_type, reference.name), []).append((*reference.path, "name"))
                else:
                    self._check_reference_type(reference)
        if not self.is_complete:
            return
        for (server_type, name), found in unknown.items():
            more = f" ({len(found) - 1} more refer to it)" if len(found) > 1 else ""
            self._report(found[0], f"{self._explain_unknown(server_type, name)}{more}")

    def _check_reference_type(self, reference: Reference) -> None:
        actual = self.declared[reference.name]
        if actual is not None and actual != reference.server_type:
            wanted = [name for name, server_type in self.declared.items() if server_type == reference.server_type]
            advice = suggestion(reference.name, wanted, kind=f"instances of {reference.server_type}")
            self._report(
                (*reference.path, "name"),
                f"`{reference.name}` is one of {actual}, not {reference.server_type}; {advice}",
            )

    def _explain_unknown(self, server_type: str, name: str) -> str:
        same_type = [each for each, its_type in self.declared.items() if its_type == server_type]
        if best := nearest(name, same_type, cutoff=0.75):
            return f"there is no instance `{name}`; did you mean `{best}`?"
        if name == POLICY_MODEL and server_type == "responses_api_models":
            endpoint, scripted = POLICY_CONFIGS
            return (
                f"nothing defines `{name}`; add {endpoint} (any OpenAI endpoint) or {scripted} (no key) to config_paths"
            )
        config = f"{server_type}/{name}/configs/{name}.yaml"
        if places.find_file(config, self.cwd) is not None:
            return f"nothing defines `{name}`; add {config} to config_paths"
        return f"there is no instance `{name}`; {suggestion(name, same_type, kind=f'instances of {server_type}')}"

    # The head server and the range of ports

    def _head(self, default_host: str) -> tuple[str, int, bool]:
        value = self.values.get("head_server")
        if value is None:
            return default_host, DEFAULT_HEAD_PORT, False
        if not isinstance(value, dict):
            self._report(("head_server",), "must have `host` and `port` below it")
            return default_host, DEFAULT_HEAD_PORT, False
        for key in value:
            if key not in {"host", "port"}:
                self._report(("head_server", key), f"unknown; {suggestion(key, ('host', 'port'), kind='keys')}")
        host = self._host(("head_server", "host"), value.get("host")) or default_host
        port = self._port(("head_server", "port"), value.get("port"))
        return host, port or DEFAULT_HEAD_PORT, port is not None

    def _port_range(self) -> tuple[int, int] | None:
        low = self._port(("port_range_low",), self.values.get("port_range_low"))
        high = self._port(("port_range_high",), self.values.get("port_range_high"))
        if low is None and high is None:
            return None
        low, high = low or 1024, high or 65535
        if low > high:
            self._report(("port_range_low",), f"{low} is above `port_range_high`, {high}")
        return low, high


def _whole_number(value: object) -> int | None:
    """The number, where it is one or a text of digits (environment variables are texts)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return None


def _types() -> str:
    return ", ".join(f"`{server_type}`" for server_type in SERVER_TYPES)
