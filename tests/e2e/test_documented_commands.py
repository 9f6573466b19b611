"""Every command in the README and the pages of `docs/` works as printed, one page after another from top to bottom."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell
from tests.needed_programs import marks_for

SEPARATE = (
    "environments.md",
    "mcp.md",
    "performance.md",
    "recipes.md",
    "reliability.md",
    "simulated-users.md",
    "train-demo.md",
)
"""They hold files and code too, or run for minutes: tests of their own, as for the pages on writing."""
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if not page.name.startswith("writing-") and page.name not in SEPARATE
]
NOT_HERE = ("make ", "source ", "python -m pytest ", "ng_train_demo ")
"""`make test` is what runs this and all other tests; `make quickstart` is tested below by its script; the demo needs
torch, and has tests of its own."""

pytestmark = pytest.mark.e2e


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that always says the same."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "[]"}]}
        answer = {"id": "r", "object": "response", "created_at": 0, "model": "m", "output": [item]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Looks like the checkout; its `env.yaml` names an endpoint that answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    settings = f"policy_base_url: {url}\npolicy_api_key: sk-test\npolicy_model_name: m\n"
    (tmp_path / "env.yaml").write_text(settings)
    yield checkout_in(tmp_path)
    server.shutdown()
    server.server_close()


def commands(page: Path) -> list[str]:
    """The page's commands; a block that starts servers and then uses them is taken apart."""
    found: list[str] = []
    for block in bash_blocks(page):
        lines = block.replace("\\\n", " ").splitlines()
        found += [line for line in lines if line.strip() and not line.lstrip().startswith(("#", *NOT_HERE))]
    return found


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=marks_for(page.stem)) for page in PAGES if commands(page)]
)
def test_the_pages_commands_work_as_printed(page: Path, folder: Path) -> None:
    with ExitStack() as servers:
        if not any(command.startswith("ng_run") for command in commands(page)):
            servers.enter_context(running(QUICKSTART_SERVERS, folder))
        for command in commands(page):
            if command.startswith("ng_run"):
                servers.close()
                servers.enter_context(running(command, folder))
            else:
                shell(command, folder)


QUICKSTART_SERVERS = next(
    command for command in commands(ROOT / "docs" / "quickstart.md") if command.startswith("ng_run")
)


def test_the_quickstart_shows_rewards_and_stops_its_servers(folder: Path) -> None:
    shown = shell("bash data/quickstart.sh", folder)
    assert "requested 160 = completed 160 + failed 0" in shown
    assert "mean/reward" in shown and "All servers have ended." in shown
    results = [json.loads(line) for line in (folder / "results/quickstart.jsonl").read_text().splitlines()]
    assert len(results) == 160 and {result["reward"] for result in results} == {0.0, 1.0}
