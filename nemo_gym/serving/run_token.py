"""The token of a run: whoever carries it may ask the run's servers. Kept where only the run's owner can read it.

.nemo_gym/runs/<run_id>/authorization    the header that carries it, as `curl -H @<file>` takes it
.nemo_gym/latest                         leads to the folder of the run that was started last
<temporary folder>/nemo_gym-<user id>/<port>   leads to the folder of the run whose head server has that port
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nemo_gym.config.global_config import HEAD_SERVER_KEY_NAME
from nemo_gym.errors import LaunchError

AUTHORIZATION_FILE = "authorization"
_SCHEME = "Bearer"
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


def new_token() -> str:
    """A random one of 256 bits."""
    return secrets.token_urlsafe(32)


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries it; none where there is no token."""
    return {"authorization": f"{_SCHEME} {token}"} if token else {}


def token_in(global_config: Mapping[str, Any]) -> str | None:
    """That of the run which the configuration belongs to; None where it tells none."""
    head = global_config.get(HEAD_SERVER_KEY_NAME)
    return head.get("token") if isinstance(head, Mapping) else None


def read_token(path: Path) -> str:
    """From the `authorization` file of a run, or a file with nothing but the token. Raises `LaunchError`."""
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"{path}: the run's token cannot be read: {error}") from error
    if not words:
        raise LaunchError(f"{path}: holds no token")
    return words[-1]


def is_address_of(listens_on: str, head_url: str, asked: str) -> bool:
    """Whether the URL `asked` leads to the head server that is known as `head_url` and bound to `listens_on`."""
    known, wanted = urlsplit(head_url), urlsplit(asked)
    if known.port != wanted.port:
        return False
    if known.hostname == wanted.hostname:
        return True
    return wanted.hostname in _THIS_MACHINE and (known.hostname in _THIS_MACHINE or listens_on in _EVERY_ADDRESS)


def keep_token(run: Path, token: str, head_url: str) -> None:
    """Write it into the folder of a run of this process, and make that folder the latest, and found by its head's port.

    Raises OSError where the folder cannot be written.
    """
    path = run / AUTHORIZATION_FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"Authorization: {_SCHEME} {token}\n")
    _point(run.parent.parent / "latest", Path(run.parent.name, run.name))
    pointers = _pointers(make=True)
    if pointers is not None:
        _point(pointers / str(urlsplit(head_url).port), run.resolve())


def forget_token(run: Path) -> None:
    """The run has ended: its token is worth nothing any more."""
    (run / AUTHORIZATION_FILE).unlink(missing_ok=True)
    pointers = _pointers(make=False)
    for pointer in pointers.iterdir() if pointers is not None else ():
        with suppress(OSError):
            if pointer.readlink() == run.resolve():
                pointer.unlink()


def run_with_head_at(port: int) -> Path | None:
    """Folder of this user's run whose head server has that port, wherever it was started on this machine."""
    pointers = _pointers(make=False)
    if pointers is None:
        return None
    with suppress(OSError):
        return (pointers / str(port)).readlink()
    return None


def _pointers(*, make: bool) -> Path | None:
    """The folder that leads to this user's runs; None where it is not theirs alone: others could lead astray there."""
    folder = Path(tempfile.gettempdir(), f"nemo_gym-{os.getuid()}")
    with suppress(OSError):
        if make:
            folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077:
            return folder
    return None


def _point(link: Path, target: Path) -> None:
    """Make a symbolic link, in place of what it pointed to before. Without it only a convenience is missing."""
    unfinished = link.with_name(f".{link.name}-{os.getpid()}")
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(target)
        unfinished.replace(link)
