"""More rollouts in flight than there may be connections are refused before anything runs."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys

import pytest

from nemo_gym.errors import ConfigError
from nemo_gym.rollouts.connections import SPARE_FILES, check_open_files
from nemo_gym.serving import open_files


@pytest.fixture(autouse=True)
def _thousand_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemo_gym.rollouts.connections.allow_open_files", lambda: 1000)


def test_as_many_as_there_may_be_connections_are_let_pass(caplog: pytest.LogCaptureFixture) -> None:
    check_open_files({"agent": 2}, 1000 - SPARE_FILES)
    assert not caplog.records


def test_one_more_is_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(ConfigError, match=r"num_samples_in_parallel.*may have 1000 open files.*give at most 936"):
        check_open_files({"agent": 2}, 1001 - SPARE_FILES)


def test_an_agent_with_too_few_workers_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_open_files({"lonely": 1, "many": 2}, 900)
    assert ["`lonely`" in record.message and "num_workers: 2" in record.message for record in caplog.records] == [True]


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (200, {hard}))\n"
        f"from {open_files.__name__} import allow_open_files\n"
        "print(allow_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(hard)] * 3
