"""What a server process runs before the server's own code: `python -m nemo_gym.launch.child <parent pid> <app.py>`.

It makes sure that the process ends when its launcher does, however that ends, and then runs the entrypoint as the main
program in its folder. Standard library only: whatever is loaded here delays every server's start.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import select
import signal
import sys
import threading
from pathlib import Path

FDS_VARIABLE = "NEMO_GYM_SERVER_FDS"
"""Environment variable that names the inherited file descriptors: `listen=5,spec=6,status=7`."""
COMPONENT_FOLDERS = ("resources_servers", "responses_api_models", "responses_api_agents")
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its launcher and become the server."""
    parent, entrypoint = int(sys.argv[1]), sys.argv[2]
    fds = dict(pair.split("=") for pair in os.environ[FDS_VARIABLE].split(","))
    for fd in fds.values():
        os.set_inheritable(int(fd), False)
    die_with(parent)
    threading.Thread(target=_die_at_hangup, args=(int(fds["spec"]),), name="lifeline", daemon=True).start()
    folder = Path(entrypoint).parent
    sys.path[:0] = [str(folder), *import_roots(folder)]
    started_from = Path.cwd()
    os.chdir(folder)
    sys.argv[1:] = []
    try:
        runpy.run_path(entrypoint, run_name="__main__")
    except Exception as error:  # noqa: BLE001 - the server's own code may raise anything
        _report(error, int(fds["status"]), folder, started_from)
        sys.exit(1)


def die_with(parent: int, signal_number: int = signal.SIGKILL) -> None:
    """Have the kernel send that signal when the parent ends (Linux; elsewhere only the lifeline helps)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != parent:  # it ended before we could ask
        end_group()


def end_group() -> None:
    """Kill this process and, where it leads a process group, all its descendants in that."""
    if os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at_hangup(lifeline: int) -> None:
    # No events are asked for, so nothing is read: the specification in this pipe is for the server. A hangup, which
    # means that the launcher's end is closed, is reported all the same.
    poll = select.poll()
    poll.register(lifeline, 0)
    poll.poll()
    end_group()


def _report(error: Exception, status_fd: int, folder: Path, started_from: Path) -> None:
    """Tell the launcher what the server's code raised: in a few lines for the terminal, in full for the log."""
    # Imported here: a server whose code is right starts without them.
    import json

    from nemo_gym.launch.code_error import explain, own_frames

    started_it = frozenset({__file__, "<frozen runpy>"})
    event = {
        "event": "failed",
        "message": explain(error, folder, started_from),
        "traceback": own_frames(error, without=started_it),
    }
    os.write(status_fd, json.dumps(event).encode() + b"\n")


def import_roots(folder: Path) -> list[str]:
    """The folder in which `resources_servers` and its like lie: there `from resources_servers.x import y` begins."""
    return [str(parent.parent) for parent in folder.parents if parent.name in COMPONENT_FOLDERS][:1]


if __name__ == "__main__":
    main()
