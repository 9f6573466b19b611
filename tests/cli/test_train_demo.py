"""`ng_train_demo` where it cannot train: what it says; and its options on their page."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nemo_gym.cli.train_demo", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_without_torch_it_says_what_to_install() -> None:
    told = demo()
    assert told.returncode == 2
    assert "pip install 'nemo-gym[demo]'" in told.stderr and "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("+environment=sokoban",), "`environment`: must be one of `code_lookup`, `frozen_lake`, not `sokoban`"),
        (("+engine=vllm",), "needs `+base_url=` of your vLLM and `+model=`"),
        (("+model=there",), "are for `+engine=vllm`"),
        (("+step=3",), "`steps`"),
    ],
)
def test_options_that_do_not_fit_are_told_before_anything_is_made(options: tuple[str, ...], said: str) -> None:
    told = demo(*options)
    assert told.returncode == 2 and said in told.stderr
