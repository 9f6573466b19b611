"""The players of a scripted model: for each environment, its policies and the task rows by which requests are known."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import DataError, ReferencePolicyError
from nemo_gym.reference_policies import Item, Policy, PolicyPlayer, items_of, load_policies, load_policy
from responses_api_models.scripted_model.recordings import Recordings

INSTALL_ROOT = Path(__file__).resolve().parents[2]
RECORDED = "recorded"
"""Name of the policy that plays recordings."""


class Players:
    """One `PolicyPlayer` per environment; a request goes to the one that knows its row, else to the first."""

    def __init__(self, players: Sequence[PolicyPlayer]) -> None:
        self._players = list(players)

    def respond(self, params: Mapping[str, Any], rollout_key: str) -> list[Item]:
        """Output items of the next model call of a rollout. Raises `ReferencePolicyError` where there is no answer."""
        if len(self._players) == 1:
            return self._players[0].respond(params, rollout_key)
        items, tools = items_of(params["input"]), params.get("tools") or []
        knowing = (player for player in self._players if player.rows.find(items, tools) is not None)
        return next(knowing, self._players[0]).respond(params, rollout_key)


def make_players(
    *,
    policy: str | Mapping[str, float],
    environments: Sequence[str],
    policies_fpath: str | None,
    rows_fpaths: Sequence[str],
    recordings_fpath: str | None,
    working_dir: Path,
    seed: int,
) -> Players:
    """Load policies, rows and recordings. Raises `ReferencePolicyError` or `DataError`, naming the file or key.

    Paths are looked for in `working_dir`, where the run was started, then in the install.
    """
    names = [policy] if isinstance(policy, str) else list(policy)
    common: dict[str, Policy] = {name: load_policy(_located_policy(name, working_dir)) for name in names if ":" in name}
    rows = [row for path in rows_fpaths for row in read_rows(find_path(path, working_dir))]
    if recordings_fpath is not None:
        recordings = list(read_rows(find_path(recordings_fpath, working_dir), required=("response",)))
        common[RECORDED] = Recordings(recordings)
        rows += recordings
    elif RECORDED in names:
        raise ReferencePolicyError("policy `recorded` needs `recordings_fpath`: a file of rollouts")

    if all(name in common for name in names):
        return Players([PolicyPlayer(common, policy, [*rows, *_rows_of(environments, working_dir)], seed=seed)])
    if policies_fpath is not None:
        policies = {**load_policies(find_path(policies_fpath, working_dir)), **common}
        return Players([PolicyPlayer(policies, policy, [*rows, *_rows_of(environments, working_dir)], seed=seed)])
    if not environments:
        raise ReferencePolicyError(
            f"policy `{', '.join(names)}` is defined by an environment: set `environment` or `policies_fpath`, "
            "or run a resources server that has a policies.py"
        )
    return Players(
        [
            PolicyPlayer(
                {**_load_policies_of(name, working_dir), **common},
                policy,
                [*rows, *_rows_of([name], working_dir)],
                seed=seed,
            )
            for name in environments
        ]
    )


def environment_folder(name: str, working_dir: Path) -> Path:
    """`resources_servers/<name>`, in the working directory or in the install."""
    for root in (working_dir, INSTALL_ROOT):
        if (root / "resources_servers" / name).is_dir():
            return root / "resources_servers" / name
    known = [path.name for path in (INSTALL_ROOT / "resources_servers").glob("*") if (path / "app.py").is_file()]
    raise ReferencePolicyError(f"no environment `{name}`: {suggestion(name, known, kind='environments')}")


def find_path(path: str, working_dir: Path) -> Path:
    """A file that a configuration names: in the working directory, else in the install."""
    for root in (working_dir, INSTALL_ROOT):
        if (root / path).exists():
            return root / path
    raise ReferencePolicyError(f"{path}: no such file, neither in {working_dir} nor in {INSTALL_ROOT}")


def read_rows(path: Path, required: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file. Raises `DataError` for a line that has no `responses_create_params`."""
    needed = ("responses_create_params", *required)
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(str(path), number, f"no JSON: {error}") from error
            missing = [key for key in needed if not isinstance(row, dict) or key not in row]
            if missing:
                raise DataError(str(path), number, f"has no `{missing[0]}`: not a task row")
            yield row


def _load_policies_of(environment: str, working_dir: Path) -> dict[str, Policy]:
    folder = environment_folder(environment, working_dir)
    root = str(folder.parent.parent)
    if root not in sys.path:
        sys.path.append(root)  # policies may import from their environment: `from resources_servers.<name>.verifier`
    return load_policies(folder / "policies.py")


def _rows_of(environments: Iterable[str], working_dir: Path) -> Iterator[dict[str, Any]]:
    """The rows that environments ship or have prepared: `data/*.jsonl`."""
    for name in environments:
        for path in sorted((environment_folder(name, working_dir) / "data").glob("*.jsonl")):
            yield from read_rows(path)


def _located_policy(place: str, working_dir: Path) -> str:
    file, _, function = place.rpartition(":")
    return f"{find_path(file, working_dir)}:{function}" if file.endswith(".py") else place
