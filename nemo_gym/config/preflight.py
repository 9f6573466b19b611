"""Preflight: every mistake that can be found before a server starts, all at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nemo_gym.config import places
from nemo_gym.config.declarations import Block, find_declarations
from nemo_gym.config.findings import Findings
from nemo_gym.config.instance import DEFAULT_HEAD_PORT, DEFAULT_HOST, GymConfig, ServerInstance
from nemo_gym.config.key_path import KeyPath
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.config.references import check_references
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree

DOMAINS = (
    *("math", "coding", "agent", "knowledge", "instruction_following", "long_context", "safety", "games"),
    *("translation", "e2e", "rlhf", "other"),
)
HEAD_KEYS = ("host", "port", "token")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}", re.ASCII)
DATASET_TYPES = ("train", "validation", "example", "benchmark")


def preflight(
    tree: ConfigTree,
    values: dict[str, Any],
    findings: Findings,
    *,
    cwd: Path,
    options: Collection[str],
    sources: tuple[str, ...],
) -> GymConfig:
    """The resolved `values` of `tree` as one configuration, to be used only where `findings` stays without problems."""
    declared = find_declarations(tree, values, findings, cwd=cwd, options=options)
    checks = _Checks(tree, findings, cwd, instance_names=tuple(declared.server_types))
    default_host = checks.host(("default_host",), values.get("default_host")) or DEFAULT_HOST
    instances = {block.name: checks.instance(block, default_host) for block in declared.blocks}
    head_host, head_port, head_is_explicit = checks.head(values.get("head_server"), default_host)
    checks.distinct_ports(instances, head_port if head_is_explicit else None)
    check_references(declared, findings, cwd=cwd)
    return GymConfig(
        values=values,
        instances=instances,
        sources=sources,
        head_host=head_host,
        head_port=head_port,
        head_is_explicit=head_is_explicit,
        head_token=checks.head_token(values.get("head_server")),
        head_source=tree.origin(("head_server", "port")),
        port_range=checks.port_range(values),
    )


class _Checks:
    """Each method reads one thing out of the values, or reports it and returns what does no further harm."""

    def __init__(self, tree: ConfigTree, findings: Findings, cwd: Path, *, instance_names: tuple[str, ...]) -> None:
        self.tree, self.findings, self.cwd, self.instance_names = tree, findings, cwd, instance_names

    def instance(self, block: Block, default_host: str) -> ServerInstance:
        entrypoint = self.entrypoint(block)
        folder = self.folder(block, entrypoint)
        self.domain(block)
        self.datasets(block)
        source = self.tree.origin(block.path)
        sources = {key: self.tree.origin((*block.path, key)) for key in block.settings}
        return ServerInstance(
            name=block.name,
            server_type=block.server_type,
            implementation=block.implementation,
            folder=folder,
            entrypoint=entrypoint,
            host=self.host((*block.path, "host"), block.settings.get("host")) or default_host,
            port=self.port((*block.path, "port"), block.settings.get("port")),
            num_workers=self.num_workers(block),
            settings=block.settings,
            source=source,
            sources={key: other for key, other in sources.items() if other != source},
        )

    def entrypoint(self, block: Block) -> str:
        entrypoint = block.settings.get("entrypoint")
        path = (*block.path, "entrypoint")
        if isinstance(entrypoint, str) and entrypoint:
            return entrypoint
        if entrypoint is not None:
            self.findings.add(path, "must be a file name, as in `entrypoint: app.py`")
            return "app.py"
        others = [name for name in self.instance_names if name != block.name]
        best = nearest(block.name, others, cutoff=0.75)
        if best is not None:
            message = f"`{block.name}` has no `entrypoint`, so nothing defines it; did you mean `{best}`?"
            self.findings.add_absence(block.path, message)
        elif self.tree.origin((block.name,)) == COMMAND_LINE:
            message = f"there is no instance `{block.name}`; {suggestion(block.name, others, kind='instances')}"
            self.findings.add_absence(block.path, message)
        else:
            self.findings.add_absence(path, "is missing: the file in the folder to run, as in `entrypoint: app.py`")
        return "app.py"

    def folder(self, block: Block, entrypoint: str) -> Path:
        folder = places.find_implementation(block.server_type, block.implementation, entrypoint, self.cwd)
        if folder is None:
            known = places.implementations(block.server_type, self.cwd)
            advice = suggestion(block.implementation, known, kind=f"folders in {block.server_type}/")
            wanted = f"{block.server_type}/{block.implementation}"
            self.findings.add(block.path, f"there is no folder `{wanted}`, here or in the install; {advice}")
            return self.cwd / block.server_type / block.implementation
        if not places.has_file(folder, entrypoint):
            advice = suggestion(entrypoint, (file.name for file in folder.glob("*.py")), kind="Python files there")
            self.findings.add((*block.path, "entrypoint"), f"there is no `{entrypoint}` in {folder}; {advice}")
        return folder

    def num_workers(self, block: Block) -> int:
        value = block.settings.get("num_workers")
        if value is None:
            return 1
        number = _whole_number(value)
        if number is None or number < 1:
            self.findings.add((*block.path, "num_workers"), f"must be a number of at least 1, not `{shown(value)}`")
            return 1
        return number

    def host(self, path: KeyPath, value: object) -> str | None:
        if value is None or (isinstance(value, str) and value and "/" not in value):
            return value
        self.findings.add(path, f"must be a name or address like `127.0.0.1`, without `http://`, not `{shown(value)}`")
        return None

    def port(self, path: KeyPath, value: object) -> int | None:
        if value is None:
            return None
        port = _whole_number(value)
        if port is None or not 1 <= port <= 65535:
            self.findings.add(
                path, f"must be a number from 1 to 65535, not `{shown(value)}`; leave it out for a free port"
            )
            return None
        return port

    def domain(self, block: Block) -> None:
        domain = block.settings.get("domain")
        if domain is not None and block.server_type == "resources_servers" and domain not in DOMAINS:
            message = f"`{shown(domain)}` is no domain; {suggestion(str(domain), DOMAINS, kind='domains')}"
            self.findings.add((*block.path, "domain"), message)

    def datasets(self, block: Block) -> None:
        datasets = block.settings.get("datasets")
        if datasets is None:
            return
        path = (*block.path, "datasets")
        if not isinstance(datasets, list):
            self.findings.add(path, "must be a list: each entry starts with `- `")
            return
        for index, dataset in enumerate(datasets):
            here = (*path, index)
            if not isinstance(dataset, dict):
                self.findings.add(here, "must have `name`, `type` and `jsonl_fpath`")
                continue
            kind = dataset.get("type")
            if kind not in DATASET_TYPES:
                advice = suggestion(str(kind or ""), DATASET_TYPES, kind="types")
                self.findings.add((*here, "type"), f"`{shown(kind)}` is no type of dataset; {advice}")
            # Other types are downloaded or prepared later; the example belongs to the environment itself.
            if kind == "example":
                self.example_file((*here, "jsonl_fpath"), dataset.get("jsonl_fpath"))

    def example_file(self, path: KeyPath, file: object) -> None:
        if not isinstance(file, str):
            self.findings.add(path, "must be a JSONL file")
        elif places.find_file(file, self.cwd) is None:
            folders = [(root / file).parent for root in places.roots(self.cwd)]
            siblings = [str(Path(file).with_name(each.name)) for folder in folders for each in folder.glob("*.jsonl")]
            advice = f"; did you mean `{best}`?" if (best := nearest(file, siblings)) else ""
            self.findings.add(path, f"there is no file `{shown(file)}`, here or in the install{advice}")

    def distinct_ports(self, instances: Mapping[str, ServerInstance], head_port: int | None) -> None:
        owners = {head_port: "the head server"} if head_port is not None else {}
        for instance in instances.values():
            if instance.port is None:
                continue
            owner = owners.setdefault(instance.port, f"`{instance.name}`")
            if owner != f"`{instance.name}`":
                path = (instance.name, instance.server_type, instance.implementation, "port")
                message = f"{instance.port} is also the port of {owner}; leave one out for a free port"
                self.findings.add(path, message)

    def head(self, value: object, default_host: str) -> tuple[str, int, bool]:
        """Host, port, and whether the port was set."""
        if value is None:
            return default_host, DEFAULT_HEAD_PORT, False
        if not isinstance(value, dict):
            self.findings.add(("head_server",), "must have `host` and `port` below it")
            return default_host, DEFAULT_HEAD_PORT, False
        for key in value:
            if key not in HEAD_KEYS:
                self.findings.add(("head_server", key), f"unknown; {suggestion(key, HEAD_KEYS, kind='keys')}")
        host = self.host(("head_server", "host"), value.get("host")) or default_host
        port = self.port(("head_server", "port"), value.get("port"))
        return host, port or DEFAULT_HEAD_PORT, port is not None

    def head_token(self, value: object) -> str | None:
        token = value.get("token") if isinstance(value, dict) else None
        if token is None or (isinstance(token, str) and _TOKEN.fullmatch(token)):
            return token
        message = "must be a text of 16 to 256 letters, digits, `-` and `_`; leave it out for a random one"
        self.findings.add(("head_server", "token"), message)
        return None

    def port_range(self, values: Mapping[str, Any]) -> tuple[int, int] | None:
        low = self.port(("port_range_low",), values.get("port_range_low"))
        high = self.port(("port_range_high",), values.get("port_range_high"))
        if low is None and high is None:
            return None
        low, high = low or 1024, high or 65535
        if low > high:
            self.findings.add(("port_range_low",), f"{low} is above `port_range_high`, {high}")
        return low, high


def _whole_number(value: object) -> int | None:
    """The number, where it is one or a text of digits (environment variables are texts)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return None
