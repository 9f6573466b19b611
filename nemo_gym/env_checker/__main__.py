"""Command line of the environment checker: prints what it found, exits 1 if an environment has a problem."""

from __future__ import annotations

import sys
from pathlib import Path

from nemo_gym.env_checker.check import WARNING, examine_environment

USAGE = """\
usage: python -m nemo_gym.env_checker FOLDER [FOLDER ...]

Checks resources servers: files, example rows, the server's answers, and episodes of its reference policies.
example: python -m nemo_gym.env_checker resources_servers/calendar
"""


def main(folders: list[str]) -> int:
    if not folders or folders[0].startswith("-"):
        sys.stdout.write(USAGE)
        return 0 if folders else 2
    failed = False
    for folder in folders:
        report = examine_environment(Path(folder))
        means = ", ".join(f"{policy} {mean:.3f}" for policy, mean in report.mean_rewards.items())
        sys.stdout.write(f"{folder}: {'mean rewards: ' + means if means else 'no episode was played'}\n")
        sys.stdout.writelines(f"  {problem}\n" for problem in report.problems)
        failed = failed or any(not problem.startswith(WARNING) for problem in report.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
