"""Makes every mistake and prints how long each took, how many lines it printed, and with `--show` what they say."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.mistakes.catalogue import MISTAKES
from tests.mistakes.mistake import make
from tests.mistakes.project import running_project


def main(arguments: list[str]) -> None:
    """Arguments that are no options choose the mistakes whose names contain one of them."""
    shown = "--show" in arguments
    words = [argument for argument in arguments if not argument.startswith("-")]
    chosen = [each for each in MISTAKES if not words or any(word in each.name for word in words)]
    print("seconds  lines  exit  mistake")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        servers = Path(scratch, "servers")
        servers.mkdir()
        if any(each.needs_servers for each in chosen):
            stack.enter_context(running_project(servers))
        for number, mistake in enumerate(chosen):
            folder = Path(scratch, str(number))
            folder.mkdir()
            outcome = make(mistake, folder, servers)
            lines, code = len(outcome.lines), outcome.exit_code
            print(f"{outcome.seconds:7.2f}  {lines:5}  {code:4}  {mistake.name}", flush=True)
            if shown:
                print("\n".join(f"    | {line}" for line in [f"$ {mistake.command}", *outcome.lines]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
