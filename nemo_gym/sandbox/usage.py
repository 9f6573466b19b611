"""What the processes of a sandbox use together: memory, and the files of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_memory_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants; 0 where it is gone."""
    total, open_pids = 0, [root]
    while open_pids:
        pid = open_pids.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
            for task in Path(f"/proc/{pid}/task").iterdir():
                open_pids += map(int, (task / "children").read_text().split())
        except (OSError, IndexError, ValueError):
            continue  # it ended meanwhile
    return total


def folder_usage(folder: Path, max_files: int) -> tuple[int, int]:
    """(bytes on disk, files and folders) below `folder`; counting ends soon after `max_files`."""
    used = files = 0
    folders = [str(folder)]
    while folders and files <= max_files:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue  # gone meanwhile, or made unreadable; its own size is counted
    return used, files
