"""What a loaded configuration is made of: `ServerInstance`, one server to start, and `GymConfig`, the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVER_TYPES = ("resources_servers", "responses_api_agents", "responses_api_models")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_HEAD_PORT = 11000


@dataclass(frozen=True)
class ServerInstance:
    """One server to start. Made by `load_config`; the launcher reads it."""

    name: str
    """The instance's name: its address everywhere."""
    server_type: str
    """One of `SERVER_TYPES`."""
    implementation: str
    """Folder name below the server type, `calendar` or `parent/child`."""
    folder: Path
    """That folder, absolute."""
    entrypoint: str
    """File in the folder that is run."""
    host: str
    port: int | None
    """None: any free port."""
    num_workers: int
    settings: dict[str, Any] = field(repr=False)
    """The block under the implementation, resolved; the server's own config class validates it. May hold secrets."""
    source: str
    """The file the block came from, as the user wrote its path."""
    sources: dict[str, str] = field(default_factory=dict)
    """The file (or the command line) of each setting that another source than that file has set."""


@dataclass(frozen=True)
class GymConfig:
    """A whole configuration, merged, resolved and checked. Made by `load_config`, never changed after."""

    values: dict[str, Any] = field(repr=False)
    """Every key, with secrets: pass it through `mask_secrets` before showing or saving it."""
    instances: dict[str, ServerInstance]
    """By name, in the order of the files."""
    sources: tuple[str, ...]
    """The files read, in rising precedence; `env.yaml` included where there is one."""
    head_host: str = DEFAULT_HOST
    head_port: int = DEFAULT_HEAD_PORT
    head_is_explicit: bool = False
    """Whether the configuration sets the head server's port. If not, a launcher may take another free one."""
    head_token: str | None = field(default=None, repr=False)
    """The token that the configuration sets for the run; None: a random one."""
    head_source: str = "command line"
    """The file (or the command line) that sets the head server's address."""
    port_range: tuple[int, int] | None = None
    """Lowest and highest port that servers without one of their own may take; None: any free port."""
