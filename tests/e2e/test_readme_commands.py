"""The commands in every resources server's README work as printed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, only, running, shell
from tests.needed_programs import marks_for

SERVERS = sorted(path.parent for path in (ROOT / "resources_servers").glob("*/app.py"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the READMEs' commands need curl"),
]


@pytest.mark.parametrize("folder", [pytest.param(one, id=one.name, marks=marks_for(one.name)) for one in SERVERS])
def test_the_readmes_commands_work_as_printed(folder: Path, tmp_path: Path) -> None:
    readme, cwd = folder / "README.md", checkout_in(tmp_path)
    commands = bash_blocks(readme)
    with running(only(commands, "ng_run"), cwd):
        verified = shell(only(commands, "curl"), cwd)
        reward = json.loads(verified[verified.index('{"responses_create_params"') :])["reward"]
        assert f'`"reward":{reward}`' in readme.read_text(encoding="utf-8")

        shell(only(commands, "ng_collect_rollouts"), cwd)
        results = (cwd / "results" / f"{folder.name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(results) == 5 and all("reward" in json.loads(line) for line in results)

    shell(only(commands, "python"), cwd)
    rows = (cwd / "results" / f"{folder.name}_train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 100
