"""Types of configuration blocks: references from one instance to another."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


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
