"""Every component as a server in this process, asked from a test's thread; each answer within a deadline."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from nemo_gym.env_checker.layout import CheckedSettings, server_settings
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.testclient import InProcessGym
from tests.needed_programs import marks_for

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = sorted(path.parent.name for path in (ROOT / "resources_servers").glob("*/app.py"))
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "simple_agent": (
        "responses_api_agents",
        {
            "resources_server": {"type": "resources_servers", "name": "environment"},
            "model_server": {"type": "responses_api_models", "name": "engine"},
            "max_steps": 5,
        },
    ),
    "scripted_model": ("responses_api_models", {"environment": "example_multi_step", "tokens": {"enabled": True}}),
    "openai_model": ("responses_api_models", {"openai_base_url": "http://engine/v1", "openai_model": "any"}),
    "vllm_model": ("responses_api_models", {"base_url": "http://engine/v1", "model": "any"}),
}
"""Agents and model servers: where they lie, and their settings. `engine` answers their model calls."""
COMPONENTS = [
    *(pytest.param(name, marks=marks_for(name), id=name) for name in ENVIRONMENTS),
    *(pytest.param(name, id=name) for name in OTHERS),
]
HANGS_AFTER_S = 60.0
"""Far more than any answer takes."""
T = TypeVar("T")


class FuzzedServer:
    """One server, with those that it asks, on an event loop of its own. Use it in a `with` block."""

    def __init__(self, kind: str, name: str, **settings: Any) -> None:
        """The component in `<kind>/<name>`; a resources server's settings are those of its YAML file."""
        self.name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._gym = InProcessGym()
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        self._folder, self._settings = ROOT / kind / name, settings

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._gym.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @cached_property
    def openapi(self) -> dict[str, Any]:
        """What the server says of itself."""
        return self._gym.apps[self.name].openapi()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HttpResponse:
        """Its answer. Raises TimeoutError where there is none in time."""
        sent = {"content-type": "application/json", **(headers or {})}
        call = self._gym.client.http.request(
            method, f"http://{self.name}{path}", body=body, headers=sent, timeout_s=2 * HANGS_AFTER_S
        )
        return self._run(call)

    def ask_sensibly(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Raise AssertionError where it fails at that."""
        answer = self.ask(method.upper(), path, body, headers)
        asked = f"{method.upper()} {path} {headers} {(body or b'')[:3000]!r}"
        # An agent tells by 502 that another server failed it, and which: only a failure of its own is a mistake.
        told = answer.status == 502 and "failure_class" in answer.text
        assert told or 200 <= answer.status < 500, f"{asked}\nanswers {answer.status}: {answer.text[:1000]}"

    async def _start(self) -> None:
        if self._folder.parent.name == "resources_servers":
            checked, problems = server_settings(self._folder)
            assert not problems
        else:
            checked = CheckedSettings(self._settings)
            self._gym.add("environment", ROOT / "resources_servers" / "example_multi_step")
            self._gym.add(
                "engine",
                ROOT / "responses_api_models" / "scripted_model",
                policy=f"{Path(__file__).with_name('answers.py')}:answer",
            )
        for name, block in checked.beside.items():
            self._gym.add(name, self._folder, **block)
        self._gym.add(self.name, self._folder, **checked.own)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_AFTER_S)


def fuzzed(name: str) -> FuzzedServer:
    """The component of that name."""
    kind, settings = OTHERS.get(name, ("resources_servers", {}))
    return FuzzedServer(kind, name, **settings)
