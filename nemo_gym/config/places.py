"""Where files and implementation folders are: in the working directory, else in the install."""

from __future__ import annotations

from pathlib import Path

INSTALL_ROOT = Path(__file__).resolve().parents[2]
"""The directory that holds `nemo_gym`, `resources_servers` and their siblings: a checkout, or site-packages."""

COMPONENT_FOLDERS = ("resources_servers", "responses_api_agents", "responses_api_models")


def roots(cwd: Path) -> tuple[Path, ...]:
    """The directories in which relative paths are looked up, in this order.

    Servers work in their own folder: for them the one that holds `resources_servers` and its siblings comes second.
    """
    working = cwd.resolve()
    projects = [parent.parent for parent in working.parents if parent.name in COMPONENT_FOLDERS][:1]
    return tuple(dict.fromkeys([working, *projects, INSTALL_ROOT]))


def find_file(path: str, cwd: Path) -> Path | None:
    """The existing file that `path` means, absolute; None if there is none."""
    for root in roots(cwd):
        candidate = root / Path(path).expanduser()
        if _is_file(candidate):
            return candidate.resolve()
    return None


def has_file(folder: Path, name: str) -> bool:
    """Whether the folder holds a file of this name."""
    return _is_file(folder / name)


def find_implementation(server_type: str, implementation: str, entrypoint: str, cwd: Path) -> Path | None:
    """The folder `<server_type>/<implementation>`, absolute; None if there is none.

    A folder that holds the entrypoint is preferred: one in the working directory with only data does not hide the
    installed implementation.
    """
    folders = [root / server_type / implementation for root in roots(cwd)]
    existing = [folder.resolve() for folder in folders if _is_dir(folder)]
    for folder in existing:
        if _is_file(folder / entrypoint):
            return folder
    return existing[0] if existing else None


def implementations(server_type: str, cwd: Path) -> list[str]:
    """Names of all implementation folders of a server type, nested ones as `parent/child`."""
    found: set[str] = set()
    for root in roots(cwd):
        home = root / server_type
        for pattern in ("*/app.py", "*/*/app.py"):
            found.update(app.parent.relative_to(home).as_posix() for app in home.glob(pattern))
    return sorted(found)


def config_files(cwd: Path) -> list[str]:
    """Config files one may have meant: those of every implementation, and those in the working directory."""
    found: set[str] = set()
    for root in roots(cwd):
        for pattern in ("*/*/configs/*.yaml", "*/*/*/configs/*.yaml"):
            found.update(path.relative_to(root).as_posix() for path in root.glob(pattern))
    for pattern in ("*.yaml", "*.yml", "configs/*.yaml"):
        found.update(path.relative_to(cwd).as_posix() for path in cwd.glob(pattern))
    return sorted(found)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long to be one
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
