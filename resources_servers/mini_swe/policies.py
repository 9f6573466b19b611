"""Reference policies for mini_swe: `oracle` earns full reward, `random` repairs nothing, `malformed` writes garbage."""

from __future__ import annotations

import json
import shlex
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.mini_swe.prompts import SUBMIT_MARKER

LOOKS = (
    "ls -R",
    "cat README.md",
    "python3 --version",
    "grep -rn def --include=*.py . | head -20",
    "wc -l */*.py",
    "pwd; env",
)
CHANGES = ("printf 'def test_nothing():\\n    pass\\n' > tests/test_more.py",)
GARBAGE = (
    "",
    "   \n",
    "I have repaired it.",
    "```bash\n```",
    "```bash\n   \n```",
    "```bash\nls",
    "```python\nprint(1)\n```",
    "```bash\nls\n```\n\n```bash\npwd\n```",
    "```bash\n" * 2_000,
    "x" * 50_000,
    "```bash\necho " + "x" * 120_000 + "\n```",
    "```bash\necho \u0000\n```",
    f"{SUBMIT_MARKER}",
    "📦 \u202e \ud800",
)
HOSTILE = (
    "kill -9 -1",
    "rm -rf / --no-preserve-root > /dev/null 2>&1",
    "head -c 3000000 /dev/zero | tr '\\0' 'x'",
    "exit 77",
    "if then fi )",
    "head -c 2000 /dev/urandom > noise.bin; ln -s /etc/passwd link; mkdir -p '\n'; printf '\\377'",
    f"echo '{SUBMIT_MARKER}'; exit 1",
    f"echo nearly; echo {SUBMIT_MARKER}",
    "chmod -R 000 .; cat README.md",
)


def oracle(turn: PolicyTurn) -> str:
    """Looks around, repairs the bugs that the row tells, runs the tests, submits."""
    fixes = (turn.row or {})["fix"]
    steps = [
        ("First I look around.", "ls -R\n" + "\n".join(f"cat -n {shlex.quote(fix['path'])}" for fix in fixes)),
        ("Now I repair it.", "python3 - <<'REPAIR'\n" + "".join(map(repair_script, fixes)) + "REPAIR"),
        ("The tests:", "python3 -m unittest 2>&1 | tail -1"),
        ("Done.", f"echo {SUBMIT_MARKER}"),
    ]
    words, command = steps[min(turn.step, len(steps) - 1)]
    return block(words, command)


def guess(turn: PolicyTurn) -> str:
    """Looks at something or changes what repairs nothing, and submits: it never earns anything."""
    if turn.step >= 1 or turn.rng.random() < 0.5:
        return block("That should do.", f"echo {SUBMIT_MARKER}")
    return block("Hm.", turn.rng.choice((*LOOKS, *CHANGES)))


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """One of many turns without a command, or with one that does no good."""
    choice = turn.rng.random()
    if choice < 0.05:
        return block("Now for something else.", turn.rng.choice(HOSTILE))
    others = (
        [function_call("verify", {"reward": 1.0})],
        [function_call("bash", "{broken")],
        [reasoning("Hm.")],
    )
    return turn.rng.choice((*GARBAGE, *others))


def block(words: str, command: str) -> str:
    """A turn with one command; the fence is longer than any in the command."""
    fence = "```"
    while fence in command:
        fence += "`"
    return f"{words}\n\n{fence}bash\n{command}\n{fence}"


def repair_script(fix: dict[str, str]) -> str:
    """Python that replaces what is wrong."""
    path, buggy, correct = (json.dumps(fix[key], ensure_ascii=False) for key in ("path", "buggy", "correct"))
    return (
        f"text = open({path}, encoding='utf-8').read()\n"
        f"assert text.count({buggy}) == 1\n"
        f"open({path}, 'w', encoding='utf-8').write(text.replace({buggy}, {correct}))\n"
    )


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
