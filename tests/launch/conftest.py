"""Toy servers: entrypoints of a few lines that speak the launcher's protocol themselves, and misbehave as told."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig, ServerInstance

PREAMBLE = """\
import json, os, signal, socket, subprocess, sys, threading, time

fds = {name: int(fd) for name, fd in (pair.split("=") for pair in os.environ["NEMO_GYM_SERVER_FDS"].split(","))}
listener = socket.socket(fileno=fds["listen"])
with os.fdopen(os.dup(fds["spec"]), "rb") as pipe:
    spec = json.loads(pipe.readline())

def report(**event):
    os.write(fds["status"], json.dumps(event).encode() + b"\\n")

def answer(text, requests=10**9):
    for _ in range(requests):
        connection, _ = listener.accept()
        connection.recv(65536)
        body = text.encode()
        head = f"HTTP/1.1 200 OK\\r\\ncontent-length: {len(body)}\\r\\nconnection: close\\r\\n\\r\\n"
        connection.sendall(head.encode() + body)
        connection.close()

"""

MakeConfig = Callable[..., GymConfig]


@pytest.fixture
def toy_config(tmp_path: Path) -> MakeConfig:
    """A function: codes of toy servers by name, keys of the configuration → a configuration."""

    def make(codes: dict[str, str], **values: object) -> GymConfig:
        instances = {}
        for name, code in codes.items():
            folder = tmp_path / "resources_servers" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "app.py").write_text(PREAMBLE + textwrap.dedent(code))
            instances[name] = ServerInstance(
                name=name,
                server_type="resources_servers",
                implementation=name,
                folder=folder,
                entrypoint="app.py",
                host="127.0.0.1",
                port=None,
                num_workers=1,
                settings={"entrypoint": "app.py"},
                source="toy.yaml",
            )
        return GymConfig(values=dict(values), instances=instances, sources=("toy.yaml",))

    return make
