"""What one server process is told: who it is, its settings, and where the others are. Made by the launcher."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ServerAddress(BaseModel):
    """Where one instance answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    server_type: str
    """`resources_servers`, `responses_api_agents` or `responses_api_models`."""
    implementation: str
    """Name of the folder that implements it."""
    urls: tuple[str, ...]
    """One per worker, without a trailing slash."""


class ServerSpec(BaseModel):
    """One worker of one instance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Instance name."""
    server_type: str
    implementation: str
    folder: str
    """Absolute path of the implementation's folder."""
    entrypoint: str
    """File in that folder that defines and runs the server."""
    settings: dict[str, Any]
    """The instance's block of the configuration, resolved; the server's own config class checks it."""
    source: str
    """The YAML file that the block came from."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Where single settings come from that another source than that file has set."""
    directory: dict[str, ServerAddress]
    """Every instance of the run, by name."""
    global_config: dict[str, Any] = Field(default_factory=dict, repr=False)
    """The run's whole configuration, addresses and secrets included, for servers that ask for it."""
    run_id: str
    session_secret: str = Field(repr=False)
    """Signs session cookies; random per run."""
    token: str | None = Field(default=None, repr=False)
    """What whoever asks must carry; None: anybody may ask."""
    working_dir: str = "."
    """Where the run was started: relative paths in the configuration are looked for there first."""
    worker: int = 0
    num_workers: int = 1
