"""Secrets planted in `env.yaml` and in the environment are nowhere to be found but where they are used."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from nemo_gym.config.secrets import MASK
from nemo_gym.serving.run_token import AUTHORIZATION_FILE, bearer
from nemo_gym.serving.runs import live_runs, token_of
from tests.e2e.test_run import READY, Launched
from tests.launch.toys import processes_of

pytestmark = pytest.mark.e2e

KEY, PASSWORD = "sk-planted-7f3a9c21d4", "hunter2-planted-55e1"
CONFIGS = (
    "resources_servers/example_multi_step/configs/example_multi_step.yaml",
    "responses_api_models/openai_model/configs/openai_model.yaml",
)
ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 0,
    "model": "any",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "42"}]}],
}


class IndiscreetEndpoint(BaseHTTPRequestHandler):
    """Answers every other request, and refuses the rest with an error that repeats the key it was asked with."""

    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).asked += 1
        refused = type(self).asked % 2 == 0
        said = {"error": {"message": f"no such key: {self.headers['authorization']}"}} if refused else ANSWER
        body = json.dumps(said).encode()
        self.send_response(401 if refused else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), IndiscreetEndpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def command(name: str, *arguments: str, cwd: Path) -> str:
    """All that it prints, whatever its exit code."""
    code = f"from nemo_gym.cli.{name} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def answers_of(url: str, token: str | None) -> str:
    """What a server says at each of its routes, to a request without sense where it wants a body."""
    said = []
    with httpx.Client(base_url=url, headers=bearer(token), timeout=60) as http:
        described = http.get("/openapi.json")
        if described.status_code == 404:  # the head server
            routes = {path: {"get": {}} for path in ("/server_instances", "/global_config_dict_yaml", "/server_status")}
        else:
            routes = described.json()["paths"]
        for path, methods in routes.items():
            for method in methods:
                answer = http.request(method, path, content=b"{" if method == "post" else None)
                assert answer.status_code != 401, path
                said.append(answer.text + str(answer.headers))
    return "\n".join(said)


def test_no_secret_leaves_the_servers_that_use_it(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_KEY", KEY)
    (tmp_path / "env.yaml").write_text(
        f"policy_base_url: {endpoint}\npolicy_api_key: ${{oc.env:PLANTED_KEY}}\npolicy_model_name: any\n"
        f"store_url: http://user:{PASSWORD}@127.0.0.1:9/\nstore_password: {PASSWORD}\n"
    )
    configs = f"+config_paths=[{','.join(CONFIGS)}]"
    run = Launched(tmp_path, configs).until(READY)
    try:
        [record] = live_runs(tmp_path)
        token = token_of(record.head_url, tmp_path)
        assert token is not None
        collected = command(
            "collect_rollouts",
            "+agent_name=example_multi_step_simple_agent",
            "+input_jsonl_fpath=resources_servers/example_multi_step/data/example.jsonl",
            "+output_jsonl_fpath=results/rollouts.jsonl",
            cwd=tmp_path,
        )
        status = command("status", cwd=tmp_path)
        places: dict[str, str] = {
            "ng_collect_rollouts": collected,
            "ng_status": status,
            "ng_dump_config": command("dump_config", configs, cwd=tmp_path),
            "a mistake in the configuration": command("run", configs, "+policy_api_key=[1]", cwd=tmp_path),
        }
        assert MASK in places["ng_dump_config"] and "openai_api_key" in places["a mistake in the configuration"]
        urls = {word.rstrip("/") for word in status.split() if word.startswith("http://")}
        assert len(urls) == 4
        places |= {url: answers_of(url, token) for url in urls}
        pids = processes_of(run.run_id)
        assert len(pids) >= 3
        for pid in [*pids, run.process.pid]:
            places[f"arguments of {pid}"] = Path(f"/proc/{pid}/cmdline").read_text()
        for pid in pids:
            places[f"environment of {pid}"] = Path(f"/proc/{pid}/environ").read_text()
        for path in [*(tmp_path / ".nemo_gym").rglob("*"), *(tmp_path / "results").rglob("*")]:
            if path.is_file() and path.name != AUTHORIZATION_FILE:
                places[str(path)] = path.read_text(errors="replace")
    finally:
        run.process.terminate()
        run.end()
    places["ng_run"] = run.output
    failures = (tmp_path / "results" / "rollouts_failures.jsonl").read_text()
    assert f"no such key: Bearer {MASK}" in failures, "the endpoint's indiscretion is recorded, without the key"
    assert '"reward"' in (tmp_path / "results" / "rollouts.jsonl").read_text()
    found = [
        f"{name} in {place}"
        for place, text in places.items()
        for name, secret in (("key", KEY), ("password", PASSWORD), ("token", token))
        if secret in text
    ]
    assert not found
    assert not (tmp_path / ".nemo_gym" / "latest" / AUTHORIZATION_FILE).exists(), "the token goes with its run"
