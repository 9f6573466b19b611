"""Ctrl-C at a command's first moments: exit code 130, no stack trace."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLOW_IMPORT = """
import os, signal, sys
import nemo_gym.entry as entry

class Interrupted:
    '''Stands for a module during whose import Ctrl-C is pressed.'''
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
sys.argv.append("+config_paths=[nothing.yaml]")
entry.ng_run()
"""


@pytest.mark.parametrize("module", ["nemo_gym.cli", "nemo_gym.cli.run", "hydra.core", "rich.table", "asyncio.runners"])
def test_ctrl_c_while_a_command_imports_ends_it_without_a_stack_trace(module: str):
    done = subprocess.run([sys.executable, "-c", SLOW_IMPORT, module], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_command_waits_ends_it_without_a_stack_trace(tmp_path: Path):
    # Reading the rows blocks, since nobody writes into the pipe.
    rows = tmp_path / "rows.jsonl"
    subprocess.run(["mkfifo", rows], check=True)
    code = "import sys; from nemo_gym.entry import ng_prepare_data; sys.argv = ['ng_prepare_data', *sys.argv[1:]];"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "ng_prepare_data()", f"+input_jsonl_fpath={rows}", f"+output_dirpath={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with rows.open("w"):  # opened: the command is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_ctrl_c_stays_ignored_where_it_was_ignored():
    code = (
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from nemo_gym.entry import ng_version; os.kill(os.getpid(), signal.SIGINT); ng_version()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
