"""READMEs of the model servers that have an endpoint behind them: their commands work as printed."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl"),
]


@pytest.mark.parametrize("model_server", ["openai_model", "vllm_model"])
def test_the_readmes_curl_is_answered_by_the_endpoint_behind(model_server: str, tmp_path: Path) -> None:
    *starts, curl = bash_blocks(ROOT / "responses_api_models" / model_server / "README.md")
    with ExitStack() as stack:
        for number, start in enumerate(starts):
            folder = tmp_path / str(number)
            folder.mkdir()
            stack.enter_context(running(start, checkout_in(folder)))
        answer = shell(curl, folder)
    assert '"object":"response"' in answer
    assert json.loads(answer)["output"]
