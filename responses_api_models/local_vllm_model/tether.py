"""Runs a command, and ends it with all it started: when it ends itself, or when whoever started this is gone.

`python tether.py COMMAND...`. Standard input is a pipe that nobody writes to: when that closes, our starter is gone,
however it ended. SIGTERM is handed on to the command; the command's exit code becomes this one's. Standard library
only: it is started by path.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main() -> None:
    """Run the command to its end, or to our starter's."""
    command: subprocess.Popen[bytes] | None = None
    told_to_stop = False

    def stop(*_: object) -> None:
        nonlocal told_to_stop
        told_to_stop = True
        if command is not None:
            command.terminate()

    signal.signal(signal.SIGTERM, stop)  # first: a signal that comes during the start must not end us alone
    # A session of its own: its process group then holds it and what it starts, and not this process.
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    if told_to_stop:
        command.terminate()
    threading.Thread(target=_kill_at_hangup, args=(command.pid,), daemon=True).start()
    code = command.wait()
    _kill_group(command.pid)
    sys.exit(code if code >= 0 else 128 - code)


def _kill_at_hangup(group: int) -> None:
    while os.read(0, 1):
        pass
    _kill_group(group)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
