"""EnvironmentServer: the ordinary resources server over one `Environment` per session: /reset, /step, /verify."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar, get_type_hints

from fastapi import FastAPI
from pydantic import Field, PrivateAttr, TypeAdapter
from starlette.requests import Request

from nemo_gym.base_resources_server import BaseResourcesServerConfig, SimpleResourcesServer
from nemo_gym.environments.environment import Environment
from nemo_gym.environments.replay import model_calls
from nemo_gym.errors import EpisodeStateError
from nemo_gym.schemas.episode import (
    BaseResetResponse,
    BaseRunRequest,
    BaseSeedSessionResponse,
    BaseStepRequest,
    BaseStepResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    Observation,
)
from nemo_gym.schemas.responses import Response
from nemo_gym.serving.json_route import check_body, json_body
from nemo_gym.serving.sessions import SESSION_ID_KEY


class EnvironmentConfig(BaseResourcesServerConfig):
    """The configuration of an environment with turns. Subclass it to add keys."""

    max_turns: int | None = Field(default=None, ge=1)
    """Turns per episode; a row's own `max_turns` goes before it. None: the environment's own default."""


@dataclass
class Episode:
    """The running episode of one session."""

    environment: Environment
    stepped: bool = False
    """Whether the policy's turns come through `/step`; else `/verify` finds them in the response."""
    over: str | None = None
    """Why no further step is possible; None while it is."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def step(self, response: Response) -> BaseStepResponse:
        """One turn. An episode whose step was broken off cannot go on: nobody knows its state."""
        async with self.lock:
            if self.over is not None:
                raise EpisodeStateError(f"{self.over}; begin another one with POST /reset in a new session")
            self.over = "a step of this episode failed"
            result = (await self.environment.step(response)).to_body()
            self.environment.turn_rewards.append(result.reward)
            self.over = "this episode is over" if result.terminated or result.truncated else None
            return result


class EnvironmentServer(SimpleResourcesServer):
    """Serves an `Environment` per session. Override `make_environment()`.

    In the course of a rollout the agent calls `/reset` once, `/step` after each model call that asks for no tool with a
    route of its own, then `/verify`. A `/verify` without `/reset` before it plays the model calls that it finds in the
    response: a stored rollout is scored again that way, and one that was run as a single turn.
    """

    config: EnvironmentConfig

    replays_tool_calls: ClassVar[bool] = False
    """Whether `step()` carries out calls of tools that have routes, so that a stored rollout is played again with them.
    Without it tools with routes must leave the episode as it is, or `reverify_mode` be `UNSUPPORTED`."""

    _episodes: dict[str, Episode] = PrivateAttr(default_factory=dict)
    _row_type: TypeAdapter[BaseRunRequest] = PrivateAttr(default=TypeAdapter(BaseRunRequest))

    async def make_environment(self, row: BaseRunRequest) -> Environment:
        """The episode of a task row. Name the row's fields in a subclass of `BaseRunRequest`, as the type of `row`:
        rows that do not fit it are refused with the place of the mistake.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make_environment()")

    def max_turns(self, row: BaseRunRequest, default: int) -> int:
        """Turns of this row's episode: the row's `max_turns`, else the configuration's, else `default`.

        A row's value that is no whole number above 0 is left to the row's type to refuse; here it counts as absent.
        """
        of_row = row.model_dump(include={"max_turns"}).get("max_turns")
        if isinstance(of_row, int) and not isinstance(of_row, bool) and of_row > 0:
            return of_row
        return self.config.max_turns or default

    def environment_of(self, request: Request) -> Environment:
        """The session's episode, for handlers of tools. Raises `EpisodeStateError` (HTTP 409) where none has begun."""
        return self._episode_of(request).environment

    async def reset(self, request: Request, body: BaseRunRequest) -> BaseResetResponse:
        """`POST /reset`: begin the row's episode. A second call begins it anew."""
        episode, observation = await self._begin(request)
        episode.stepped = True
        return BaseResetResponse(observation=observation)

    async def seed_session(  # type: ignore[override]  # a handler may take the request too
        self, request: Request, body: BaseRunRequest
    ) -> BaseSeedSessionResponse:
        """`POST /seed_session`: begin the episode for an agent that knows no turns."""
        await self._begin(request)
        return BaseSeedSessionResponse()

    async def step(self, request: Request, body: BaseStepRequest) -> BaseStepResponse:
        """`POST /step`: one turn. HTTP 409 where no episode has begun, or where it is over."""
        return await self._episode_of(request).step(body.response)

    async def verify(  # type: ignore[override]  # a handler may take the request too
        self, request: Request, body: BaseVerifyRequest
    ) -> BaseVerifyResponse:
        """`POST /verify`: the episode's reward, its turns' rewards, and what the environment reports."""
        return await self._score(request, body)

    async def _score(self, request: Request, body: BaseVerifyRequest) -> BaseVerifyResponse:
        episode = self._episodes.get(request.session[SESSION_ID_KEY])
        if episode is None:
            episode, _ = await self._begin(request)
        if not episode.stepped:
            for response in model_calls(json_body(request), with_tool_calls=self.replays_tool_calls):
                if episode.over is None:
                    await episode.step(response)
        environment = episode.environment
        reward = await environment.final_reward()
        turns = {"turn_rewards": environment.turn_rewards, "num_turns": len(environment.turn_rewards)}
        fields = body.model_dump(exclude_unset=True) | turns | environment.report() | {"reward": reward}
        return BaseVerifyResponse.model_validate(fields)

    async def _begin(self, request: Request) -> tuple[Episode, Observation]:
        session_id = request.session[SESSION_ID_KEY]
        await self.close_session(session_id)
        environment = await self.make_environment(check_body(json_body(request), self._row_type))
        environment.turn_rewards = []
        episode = self._episodes[session_id] = Episode(environment, over="the reset of this episode failed")
        observation = await environment.reset()
        episode.over = None
        return episode, observation

    def _episode_of(self, request: Request) -> Episode:
        episode = self._episodes.get(request.session[SESSION_ID_KEY])
        if episode is None:
            raise EpisodeStateError("no episode has begun in this session: POST /reset with the task row first")
        return episode

    async def close_session(self, session_id: str) -> None:
        episode = self._episodes.pop(session_id, None)
        if episode is not None:
            await episode.environment.close()

    async def shutdown(self) -> None:
        for session_id in list(self._episodes):
            await self.close_session(session_id)
        await super().shutdown()

    def setup_webserver(self) -> FastAPI:
        self._row_type = TypeAdapter(get_type_hints(type(self).make_environment)["row"])
        app = super().setup_webserver()
        app.post("/reset")(self.reset)
        app.post("/step")(self.step)
        return app
