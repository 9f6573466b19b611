"""What a policy is told at the beginning: how to work, and what is to be repaired."""

from __future__ import annotations

from typing import Any

SUBMIT_MARKER = "SUBMIT_SOLUTION"
SYSTEM = f"""\
You repair software by means of a shell. Each of your turns holds a few words on what you do and why, and then exactly \
one command in one block:

```bash
ls -R
```

- You are then shown the command's exit code and its output; of a long output, the beginning and the end.
- Each command runs in a new shell in the repository's top folder. Files stay, variables and `cd` do not.
- There is no network and no one to answer questions or to type into programs.
- A command may have several lines. To write files, use `cat <<'EOF' > file`, `sed -i` or `python3`.
- When you are done, the command `echo {SUBMIT_MARKER}` hands in what then lies in the repository, and ends your work. \
Its output must be that line first."""


def repository_prompt(name: str, issue: str) -> list[dict[str, Any]]:
    """The first messages of a task."""
    task = f"""\
The repository of the Python package `{name}` lies in the working folder. A user reports:

<issue>
{issue.strip()}
</issue>

Find the cause in the package's code, and repair it there for all such cases, not only for the examples in the report. \
Everything else has to go on as it is. The repository's own tests, `python3 -m unittest`, are few and may pass \
already; your work is judged by others, which also look at what was right before."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]
