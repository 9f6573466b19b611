"""The program on `docs/nemo-rl.md` works as printed, against ranks that speak tokens."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_gym.rollouts.examples import MOST_PARALLEL, STATUSES
from nemo_gym.schemas.rollout import FailureClass
from nemo_gym.serving.runs import live_runs
from tests.e2e.documents import ROOT, checkout_in, environment, shell
from tests.launch.toys import is_alive, processes_of
from tests.trainers.ranks import Policy

PAGE = (ROOT / "docs" / "nemo-rl.md").read_text(encoding="utf-8")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    """The command that runs the page's program."""
    text = re.search(r"^`train\.py`\n\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert text is not None
    (checkout_in(tmp_path) / "train.py").write_text(text[1])
    policy = Policy(tmp_path, num_ranks=2)
    yield f"python train.py {shlex.join(policy.base_urls)}"
    policy.stop()


@pytest.mark.e2e
def test_the_program_trains_two_steps(program: str, tmp_path: Path) -> None:
    shown = shell(program, tmp_path)
    steps = re.findall(r"^step (\d): reward 1\.0, (\d+) tokens$", shown, re.MULTILINE)
    assert [step for step, _ in steps] == ["0", "1"] and all(int(tokens) > 100 for _, tokens in steps)
    assert "to be sent again" not in shown


@pytest.mark.e2e
def test_nothing_remains_of_the_program_when_it_is_killed_between_rollouts(program: str, tmp_path: Path) -> None:
    trainer = subprocess.Popen(
        ["bash", "-c", f"exec {program}"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert trainer.stdout is not None and trainer.stdout.readline().startswith("step 0")
    [run] = live_runs(tmp_path)
    pids = processes_of(run.run_id)
    trainer.kill()
    trainer.communicate()
    assert len(pids) == 3
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "still alive"
        time.sleep(0.02)


def test_statuses_and_bounds_are_those_of_the_code() -> None:
    [listed] = [line for line in PAGE.splitlines() if line.startswith("| `.status` |")]
    for kind in FailureClass:
        if kind in STATUSES:
            assert re.search(rf"{STATUSES[kind]} (`\w+` and )?`{kind}`", listed), kind
        else:
            assert f"`{kind}`" not in listed
    assert f"at most {MOST_PARALLEL}" in PAGE
