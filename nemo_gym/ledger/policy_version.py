"""`/policy_version`: where whoever changes an engine's weights says so, for engines that cannot tell themselves."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from nemo_gym.ledger.recorder import Recorder

ROUTE = "/policy_version"


class PolicyVersion(BaseModel):
    """The weights that an engine has, as the trainer numbers them."""

    model_config = ConfigDict(extra="forbid")

    policy_version: int | str | None


def serve_policy_version(app: FastAPI, recorder: Recorder) -> None:
    """`POST` sets what calls that begin from now on are recorded with, `GET` tells it."""

    async def set_version(body: PolicyVersion) -> PolicyVersion:
        recorder.policy_version = body.policy_version
        return body

    async def get_version() -> PolicyVersion:
        return PolicyVersion(policy_version=recorder.policy_version)

    app.post(ROUTE)(set_version)
    app.get(ROUTE)(get_version)
