"""The pool of connections: used again while that is safe, and not a moment longer."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn

from nemo_gym.errors import Unreachable
from nemo_gym.serving import connection, socket_transport
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.process import KEEPALIVE_S as OUR_SERVERS_KEEPALIVE_S


async def connections_of(requests: int, pause_s: float) -> int:
    """How many connections so many requests take, one after another."""
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            if (await reader.readuntil(b"\r\n\r\n")).endswith(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    http = HttpClient()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    for _ in range(requests):
        await http.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await asyncio.sleep(pause_s)
    await http.close()
    server.close()
    return connections


async def test_one_connection_carries_request_after_request() -> None:
    assert await connections_of(5, 0.0) == 1


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_transport, "KEEPALIVE_S", 0.05)
    assert await connections_of(3, 0.1) == 3


def test_connections_are_given_up_before_any_usual_server_closes_them() -> None:
    assert uvicorn.Config("").timeout_keep_alive - socket_transport.KEEPALIVE_S >= 1
    assert OUR_SERVERS_KEEPALIVE_S - socket_transport.KEEPALIVE_S >= 1


async def test_too_many_open_files_come_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", full)
    with pytest.raises(Unreachable, match=r"too many open files in this process; give its server more workers"):
        await HttpClient().request("GET", "http://127.0.0.1:9/")


def has_networks_of_its_own() -> bool:
    try:
        return subprocess.run(["unshare", "-Urn", "ip", "link"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not has_networks_of_its_own(), reason="needs a network namespace to take down, and `ip`")
def test_a_server_that_vanishes_without_a_word_is_noticed_before_the_deadline() -> None:
    command = ["unshare", "-Urn", sys.executable, Path(__file__).parent / "vanishing_server.py", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("ConnectionLost"), done.stdout + done.stderr
    assert "timed out" in done.stdout


def test_a_silent_server_is_noticed_within_ninety_seconds() -> None:
    assert connection.GONE_AFTER_S <= 90
