"""One model call: how it is asked for, what a sampler makes of it, and how the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from nemo_gym.ledger.conversation import Conversation
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.growing import Growing

Json = dict[str, Any]


@dataclass(frozen=True)
class Incoming:
    """A request for a model call; made by a model server, read by the recorder."""

    rollout_key: str
    settings: Json
    """What besides the conversation shapes the prompt: tools, arguments of the template, instructions."""
    entries: list[Json]
    """The whole conversation; after a `previous_id`, what came since that answer."""
    request: Json
    """Everything else, sampling parameters above all."""
    previous_id: str | None = None
    """Stem of an earlier answer's id."""
    retry_key: str | None = None
    """Equal for a request and the same one sent again; None: it cannot be told."""
    continues_last: bool = False
    """Whether the last entry is to be written on, instead of answered."""


@dataclass(frozen=True)
class Asked:
    """A model call to be sampled; made by the recorder, read by samplers."""

    incoming: Incoming
    conversation: Conversation
    """All that was said."""
    previous: RecordedCall | None
    """The call that this one follows."""
    since_previous: list[Json] | None
    """What came since the answer of `previous`; None where the conversation is not that one with more to it."""


@dataclass(frozen=True)
class Sampled:
    """What came of it. The prompt is `previous.ids[:kept] + added`."""

    kept: int
    added: list[int]
    generation: Generation
    answer: list[Json]
    """What the generation says, as entries of the conversation."""
    finish_reason: str


class Sampler(Protocol):
    """Has a model sample."""

    async def sample(self, asked: Asked) -> Sampled:
        """Raises `EngineRefusedError`, or a `RequestError` where no engine answers."""
        ...


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """A call that was answered. Nothing of it changes."""

    stem: str
    """What ids of the answer are made from."""
    created: int
    """Unix time, s."""
    conversation: Conversation
    """The answer included."""
    answer: list[Json]
    ids: Growing[int]
    """Prompt and generation."""
    kept: int
    """So many ids of the call before it the prompt begins with."""
    prompt_length: int
    generation: Generation
    finish_reason: str
    policy_version: int | str | None

    def token_fields(self, *, short: bool) -> Json:
        """The fields for the last item of the answer. `short`: the prompt by what the call before had."""
        prompt: Json = {"prompt_token_ids": self.ids.until(self.prompt_length)}
        if short:
            added = self.ids.since(self.kept)[: self.prompt_length - self.kept]
            prompt = {"prompt_token_ids_kept": self.kept, "prompt_token_ids_added": added}
        version = {} if self.policy_version is None else {"policy_version": self.policy_version}
        experts = {} if self.generation.routed_experts is None else {"routed_experts": self.generation.routed_experts}
        tokens = {"generation_token_ids": self.generation.ids, "generation_log_probs": self.generation.log_probs}
        return {**prompt, **tokens, **version, **experts}
