"""SimulatedUser: a user played by a model server, with a persona, a goal, and a budget of its own."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nemo_gym.config_types import ModelServerRef
from nemo_gym.converters import split_think_tags
from nemo_gym.environments.users.user import UserReply
from nemo_gym.errors import RequestError, UserError
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.server_client import ServerClient

INSTRUCTIONS = """\
You play a user who writes to an assistant. Stay in this role: you are the one who wants something, never the one who \
helps, and you do not say that you are a model.

Who you are: {persona}
What you want: {goal}
What you know:
{facts}

- Write one short message at a time, in your own words.
- Say what you know only when it is asked for or needed. Where you are asked for something that stands nowhere above, \
say that you do not know; never make it up.
- When you have what you want, or it is clear that you will not get it, write {stop_signal} and nothing else."""

GREETING = "Hello! How can I help you?"


class SimulatedUserConfig(BaseModel):
    """How a model server plays the user: part of an environment's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_model_server: ModelServerRef
    instructions: str = INSTRUCTIONS
    """What the model is told; may name `{persona}`, `{goal}`, `{facts}` and `{stop_signal}`. Braces: `{{` and `}}`."""
    stop_signal: str = Field(default="###STOP###", min_length=1)
    """By which the user ends the conversation. Left out of the policy's messages before the user reads them."""
    sampling: dict[str, Any] = Field(default_factory=lambda: {"max_output_tokens": 1024})
    """Parameters of the user's requests: `temperature`, `max_output_tokens`, `reasoning`, ..."""
    max_turns: int = Field(default=30, ge=1)
    """Replies per episode at most."""
    max_total_tokens: int | None = Field(default=None, ge=1)
    """No further reply once the user's model has spent so many tokens in the episode, prompts included."""
    max_heard_chars: int = Field(default=20_000, ge=1)
    """What the policy says beyond this the user does not read, so that no policy can overflow the user's context."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Deadline of a reply, all attempts and waits together."""
    max_attempts: int = Field(default=3, ge=1)
    """How often a reply is asked for: again after HTTP 429, 500, 503, a refused connection, or an empty answer."""

    @field_validator("instructions")
    @classmethod
    def _places_are_known(cls, instructions: str) -> str:
        try:
            instructions.format(persona="", goal="", facts="", stop_signal="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                "may name `{persona}`, `{goal}`, `{facts}` and `{stop_signal}`, and nothing else in braces "
                f"(braces themselves: `{{{{` and `}}}}`): {error}"
            ) from error
        return instructions

    @field_validator("sampling")
    @classmethod
    def _sampling_fits_a_request(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        for key in ("input", "instructions", "stream", "tools"):
            if key in sampling:
                raise ValueError(f"`{key}` is no sampling parameter")
        ResponseCreateParams.model_validate({**sampling, "input": ""})
        return sampling


class UserProfile(BaseModel):
    """Who a simulated user is: part of a task row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona: str
    goal: str
    facts: dict[str, str] = Field(default_factory=dict)
    """What the user can tell, by what one asks for."""


class SimulatedUser:
    """A user played by a model server.

    The model sees the dialogue from the user's side: the policy's messages are its `user` messages, its own replies its
    `assistant` messages. Its tokens are counted in `usage`, apart from the policy's.
    """

    def __init__(
        self,
        server_client: ServerClient,
        config: SimulatedUserConfig,
        profile: UserProfile,
        *,
        opening: str | None = None,
    ) -> None:
        """`opening`: what the user has already said, as the row's first message; None: `open()` makes it up."""
        self.usage: dict[str, int] = {}
        """Tokens of all replies so far."""
        self.turns = 0
        """Replies so far."""
        self._client, self._config = server_client, config
        self._cookies: dict[str, str] = {}
        facts = "\n".join(f"- {name}: {value}" for name, value in profile.facts.items()) or "- nothing in particular"
        filled = {"persona": profile.persona, "goal": profile.goal, "facts": facts, "stop_signal": config.stop_signal}
        self._dialogue = [
            {"role": "system", "content": config.instructions.format(**filled)},
            {"role": "user", "content": GREETING},
        ]
        if opening is not None:
            self._dialogue.append({"role": "assistant", "content": opening})

    async def open(self) -> UserReply:
        """What the user says first, where the row does not say it. Raises `UserError`."""
        return await self._answer()

    async def reply(self, said: str) -> UserReply:
        """The user's answer. Raises `UserError` where its model gives none that can be used."""
        heard = said.replace(self._config.stop_signal, " ")[: self._config.max_heard_chars]
        self._dialogue.append({"role": "user", "content": heard.strip() or "(says nothing)"})
        return await self._answer()

    async def _answer(self) -> UserReply:
        config = self._config
        spent = self.usage.get("total_tokens", 0)
        if self.turns >= config.max_turns or (config.max_total_tokens is not None and spent >= config.max_total_tokens):
            return UserReply(None, out_of_budget=True)
        self.turns += 1
        before = dict(self.usage)
        text = await self._text()
        self._dialogue.append({"role": "assistant", "content": text})
        usage = {key: count - before.get(key, 0) for key, count in self.usage.items()}
        words, stop, _ = text.partition(config.stop_signal)
        return UserReply(words.strip() or None, done=bool(stop), usage=usage)

    async def _text(self) -> str:
        """The next message of the user's model, asked for as often as the configuration allows."""
        config, server = self._config, self._config.user_model_server.name
        deadline = time.monotonic() + config.timeout_s
        problem = "no time was left to ask"
        for attempt in range(1, config.max_attempts + 1):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise UserError(
                    f"no reply within {config.timeout_s:g} s; last problem: {problem}", server=server, attempts=attempt
                )
            try:
                answer = await self._client.post(
                    server,
                    "/v1/responses",
                    {**config.sampling, "input": self._dialogue},
                    cookies=self._cookies,
                    timeout_s=left_s,
                    retry=RetryPolicy(max_attempts=config.max_attempts, max_elapsed_s=left_s),
                )
                self._cookies.update(answer.cookies)
                if answer.status >= 500 and attempt < config.max_attempts:
                    problem = f"HTTP {answer.status}"
                    continue
                answer.raise_for_status()
                response = Response.model_validate(answer.parse())
            except RequestError as error:
                raise UserError(f"no reply: {error}", server=server, attempts=max(attempt, error.attempts)) from error
            except ValidationError as error:
                mistakes = "; ".join(explain(error)[:3])
                raise UserError(f"no Responses answer: {mistakes}", server=server, attempts=attempt) from error
            self._count(response)
            text = split_think_tags(response.output_text)[1].strip()
            if text:
                return text
            problem = "the answer holds no text"
        raise UserError(problem, server=server, attempts=config.max_attempts)

    def _count(self, response: Response) -> None:
        if response.usage is None:
            return
        for key in ("input_tokens", "output_tokens", "total_tokens"):
            self.usage[key] = self.usage.get(key, 0) + response.usage.model_dump()[key]
