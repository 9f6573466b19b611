"""Toy servers: entrypoints of a few lines that speak the launcher's protocol themselves, and misbehave as told."""

from __future__ import annotations

import textwrap
from pathlib import Path

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

GOOD = 'report(event="ready")\nanswer("hello")\n'

STUBBORN = {
    "ignores SIGTERM": """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report(event="ready")
        answer("hello")
    """,
    "spins in Python": """
        signal.signal(signal.SIGTERM, lambda *_: None)
        report(event="ready")
        while True:
            pass
    """,
    "spins in C, holding the interpreter": """
        import re
        signal.signal(signal.SIGTERM, lambda *_: None)
        report(event="ready")
        re.match(r"(a*)*b", "a" * 64)
    """,
    "has grandchildren": """
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
        for _ in range(2):
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout.readline()
        report(event="ready")
        answer("hello")
    """,
    "has a grandchild in a session of its own": """
        code = "import time; print(1, flush=True); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        child.stdout.readline()
        report(event="ready")
        answer("hello")
    """,
}


def write_toy(root: Path, name: str, code: str) -> Path:
    """A folder `resources_servers/<name>` below `root` with that code as its entrypoint."""
    folder = root / "resources_servers" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(PREAMBLE + textwrap.dedent(code))
    return folder


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def processes_of(run_id: str) -> list[int]:
    mark = f"NEMO_GYM_RUN_ID={run_id}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
