"""What a policy changed in a repository: text files, read from outside the sandbox, and the diff that tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import Sandbox

MAX_FILE_BYTES = 256_000
MAX_CHANGED_BYTES = 1_000_000
CONTEXT_LINES = 3


class WorkTreeError(Exception):
    """The work tree is not one that can be taken as a solution; the policy's own doing."""


@dataclass(frozen=True)
class Changes:
    """The difference between a repository and a work tree."""

    files: Mapping[str, str | None]
    """New text by path; None: deleted."""
    ignored: tuple[str, ...] = ()
    """New or changed files that are left out: no UTF-8 text, too long, or with an odd name."""

    def applied_to(self, before: Mapping[str, str]) -> dict[str, str]:
        """The repository's files with the changes."""
        after = {**before, **self.files}
        return {path: text for path, text in after.items() if text is not None}

    def diff(self, before: Mapping[str, str]) -> str:
        """A unified diff, one hunk per file, from the first line that differs to the last."""
        return "".join(file_diff(path, before.get(path), text) for path, text in sorted(self.files.items()))


async def read_changes(sandbox: Sandbox, before: Mapping[str, str]) -> Changes:
    """Compare the files in the sandbox with the repository's. Raises `WorkTreeError` where they are too many or long.

    Links, caches (`__pycache__`) and new files whose name begins with a dot count as not there.
    """
    try:
        present = [path for path in await sandbox.list_files() if path in before or _counts(path)]
    except SandboxError as error:
        raise WorkTreeError(str(error)) from error
    files: dict[str, str | None] = {path: None for path in before if path not in set(present)}
    ignored: list[str] = []
    total = 0
    for path in present:
        text = await _read_text(sandbox, path)
        if text is None:
            ignored.append(path.encode("utf-8", "replace").decode())
        elif text != before.get(path):
            total += len(text)
            if total > MAX_CHANGED_BYTES:
                raise WorkTreeError(f"more than {MAX_CHANGED_BYTES:,} characters were changed")
            files[path] = text
    return Changes(files, tuple(ignored))


def file_diff(path: str, before: str | None, after: str | None) -> str:
    """The unified diff of one file, None standing for no file. Linear in its length."""
    old, new = _lines(before or ""), _lines(after or "")
    same_first = 0
    while same_first < min(len(old), len(new)) and old[same_first] == new[same_first]:
        same_first += 1
    same_last = 0
    while same_last < min(len(old), len(new)) - same_first and old[-1 - same_last] == new[-1 - same_last]:
        same_last += 1
    start = max(same_first - CONTEXT_LINES, 0)
    trailing = min(same_last, CONTEXT_LINES)
    removed, added = old[same_first : len(old) - same_last], new[same_first : len(new) - same_last]
    body = [" " + line for line in old[start:same_first]]
    body += ["-" + line for line in removed] + ["+" + line for line in added]
    body += [" " + line for line in old[len(old) - same_last : len(old) - same_last + trailing]]
    header = (
        f"--- {'/dev/null' if before is None else 'a/' + path}\n+++ {'/dev/null' if after is None else 'b/' + path}\n"
    )
    if not removed and not added:
        return header  # an empty file came or went
    around = same_first - start + trailing
    ranges = f"@@ -{_range(start, len(removed) + around)} +{_range(start, len(added) + around)} @@\n"
    return header + ranges + "".join(_ended(line) for line in body)


async def _read_text(sandbox: Sandbox, path: str) -> str | None:
    if not path.isprintable() or len(path) > 300:
        return None
    try:
        return (await sandbox.read_file(path, max_bytes=MAX_FILE_BYTES)).decode("utf-8")
    except (SandboxError, UnicodeDecodeError):
        return None


def _counts(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not any(part == "__pycache__" or part.startswith(".") for part in parts) and not path.endswith(".pyc")


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _range(start: int, count: int) -> str:
    return f"{start + 1 if count else start},{count}"


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
