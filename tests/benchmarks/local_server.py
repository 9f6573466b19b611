"""A server of the benchmarks' own as a child process: it tells its port, and ends with its stdin."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class LocalServer:
    """One that runs."""

    pid: int
    url: str
    """`http://127.0.0.1:<port>`."""


@contextmanager
def local_server(module: str) -> Iterator[LocalServer]:
    """Run `python -m <module>`, which writes its port to stdout, for as long as the context lasts."""
    with subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield LocalServer(process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()


def ask(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """The body of an answer of such a server; blocks."""
    with urllib.request.urlopen(urllib.request.Request(url, body, method=method)) as answer:
        content: bytes = answer.read()
        return content
