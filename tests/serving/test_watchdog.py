"""The watchdog: a process whose event loop stands still ends and says where; slow and stopped ones go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, logging, re, time
from nemo_gym.serving.watchdog import watch_event_loop

def looped():
    while True:
        pass

def searched():
    re.match(r"(a*)*b", "a" * 64)

async def main():
    watch_event_loop(0.6)
    print("watched", flush=True)
    await asyncio.sleep(0.2)
    {work}
    await asyncio.sleep(1)
    print("done", flush=True)

logging.basicConfig()
asyncio.run(main())
"""


def run(tmp_path: Path, work: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("{work}", work))
    return subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("work", "function"), [("looped()", "looped"), ("searched()", "searched")])
def test_a_loop_that_stands_still_ends_its_process_and_tells_where(work: str, function: str, tmp_path: Path) -> None:
    process = run(tmp_path, work)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"in {function}" in said
    assert len(said.splitlines()) < 30


def test_what_it_tells_fits_the_last_lines_of_a_log(tmp_path: Path) -> None:
    _, said = run(tmp_path, "looped()").communicate(timeout=60)
    assert "stood still for 0.6 s (`stall_limit_s`)" in "\n".join(said.splitlines()[-7:])


def test_slow_code_below_the_limit_is_left_alone(tmp_path: Path) -> None:
    process = run(tmp_path, "time.sleep(0.2)")
    assert "done" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def test_a_process_that_was_stopped_from_outside_goes_on(tmp_path: Path) -> None:
    process = run(tmp_path, "await asyncio.sleep(0.5)")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.9)
    os.kill(process.pid, signal.SIGCONT)
    assert "done" in process.communicate(timeout=60)[0]
