"""code_lookup as the demo trains it: rows of its own `prepare.py`, and somebody who opens few doors."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nemo_gym.errors import DataError
from nemo_gym.prepare import TaskRow
from nemo_gym.reference_policies import PolicyTurn, function_call, tool_outputs
from nemo_gym.training.demo.task import DemoTask, Rows

NUM_TRAIN, NUM_HELD_OUT = 1500, 128

GUESSES, WRONG_DOORS, REVERSED = 0.4, 0.5, 0.5
"""How often a code is guessed without looking it up; looked up for another door; said backwards."""


def make_rows(seed: int) -> Rows:
    """Held-out rows have codes of their own, so nothing of them can have been learned by heart."""
    return Rows(_prepared(f"{seed}", NUM_TRAIN), _prepared(f"{seed + 1_000_000}", NUM_HELD_OUT))


def demonstrate(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Looks up a code, mostly the right one, and says it, forwards or backwards; or does not look it up at all."""
    row = turn.row or {}
    if turn.step == 0:
        if turn.rng.random() < GUESSES:
            return f"Code: {turn.rng.randrange(1000):03d}"
        wrong = turn.rng.random() < WRONG_DOORS
        return [function_call("get_code", {"door": turn.rng.choice([*row["codes"]]) if wrong else row["door"]})]
    code = json.loads(tool_outputs(turn)[-1])["code"]
    return f"Code: {code[::-1] if turn.rng.random() < REVERSED else code}"


def _prepared(seed: str, num_rows: int) -> list[TaskRow]:
    """Rows that the environment's own script writes: the core imports no environment."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "rows.jsonl"
        command = [sys.executable, "-m", "resources_servers.code_lookup.prepare"]
        options = ["--num-rows", str(num_rows), "--seed", seed, "--output", str(output)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise DataError("resources_servers/code_lookup/prepare.py", None, f"cannot make rows: {last}")
        return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


DOORS = DemoTask(
    name="code_lookup",
    config_path="resources_servers/code_lookup/configs/code_lookup.yaml",
    agent="code_lookup_simple_agent",
    make_rows=make_rows,
    demonstrate=demonstrate,
)
