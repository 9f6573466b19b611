"""Types of configuration blocks: what every instance takes, and references from one instance to another."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class BaseServerConfig(BaseModel):
    """An instance's block of the configuration, with the keys that every server takes."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    """Instance name; filled in from the configuration's key."""
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """None: a free one."""
    entrypoint: str = "app.py"
    num_workers: int = Field(default=1, ge=1)
    """Processes that serve this instance. All calls of a session reach the same one."""
    session_ttl_s: float = Field(default=3600.0, gt=0)
    """Idle seconds after which a session's state is freed."""
    stall_limit_s: float = Field(default=300.0, gt=0)
    """A server whose own code lets it answer nobody for so many seconds ends, and is started again."""
    description: str | None = None
    domain: str | None = None
    verified: bool = False
    verified_url: str | None = None
    value: str | None = None
    datasets: list[dict[str, Any]] | None = None
    max_body_bytes: int = Field(default=1 << 30, gt=0)
    """Longer request bodies are answered with 413."""


class HeadServerConfig(BaseServerConfig):
    """Where the head server of a run answers, and what it wants to be asked with."""

    token: str | None = Field(default=None, repr=False)
    """The run's; None: looked for where the run was started, and among this user's runs on this machine."""


class ServerRef(BaseModel):
    """Another instance of the run, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    name: str


class ModelServerRef(ServerRef):
    type: Literal["responses_api_models"] = "responses_api_models"


class ResourcesServerRef(ServerRef):
    type: Literal["resources_servers"] = "resources_servers"


class AgentServerRef(ServerRef):
    type: Literal["responses_api_agents"] = "responses_api_agents"
