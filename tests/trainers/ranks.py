"""A policy of several ranks, each a process, that knows the right answer to every row of three environments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RANK = Path(__file__).with_name("policy_rank.py")
ENVIRONMENTS = ("example_multi_step", "example_multi_reward", "example_multi_turn")
"""Tools; components of reward; a user who talks back."""

Json = dict[str, Any]


def rows_of(environment: str) -> list[Json]:
    lines = (ROOT / "resources_servers" / environment / "data" / "example.jsonl").read_text().splitlines()
    agent = {"type": "responses_api_agents", "name": f"{environment}_simple_agent"}
    return [json.loads(line) | {"agent_ref": agent} for line in lines]


def question_of(row: Json) -> str:
    return str(next(item["content"] for item in row["responses_create_params"]["input"] if item["role"] == "user"))


def call(number: int, name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}]}


def turns_of(row: Json) -> list[Json]:
    """What the policy says to a row, turn by turn: everything right."""
    if "totals" in row:
        return [{"content": f"Total: {total}"} for total in row["totals"]]
    if "expected_call" in row:
        return [call(0, **row["expected_call"]), {"content": ""}]
    lookups = [call(n, "get_synonym_value", {"synonym": word}) for n, word in enumerate(row["expected_synonyms"])]
    values = {"synonym_values": row["expected_synonym_values"]}
    return [*lookups, call(99, "extract_synonym_values", values), {"content": "These are the values."}]


ROWS = [row for environment in ENVIRONMENTS for row in rows_of(environment)]


class Policy:
    """Ranks of one policy, each a process of its own."""

    def __init__(self, folder: Path, num_ranks: int, *, first_dies_after: int | None = None) -> None:
        script = folder / "script.json"
        script.write_text(json.dumps({question_of(row): turns_of(row) for row in ROWS}))
        doomed = [str(first_dies_after)] if first_dies_after is not None else []
        self.ranks = [self._start(script, *(doomed if rank == 0 else [])) for rank in range(num_ranks)]
        self.base_urls = [rank.stdout.readline().strip() for rank in self.ranks if rank.stdout]

    def _start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(RANK), *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def stop(self) -> None:
        for rank in self.ranks:
            rank.communicate()  # the end of its input is its own
