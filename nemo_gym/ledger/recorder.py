"""The recorder: finds what a model call follows, has it sampled once, and writes it into the ledger."""

from __future__ import annotations

import asyncio
import secrets
import time

from nemo_gym.base_responses_api_model import PREVIOUS_NOT_FOUND
from nemo_gym.errors import EngineRefusedError
from nemo_gym.ledger.call import Asked, Incoming, RecordedCall, Sampled, Sampler
from nemo_gym.ledger.conversation import Conversation, said
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.growing import Growing
from nemo_gym.ledger.ledger import Ledger, RolloutLedger
from nemo_gym.schemas.prompt_ids import common_length, whole_prompt
from nemo_gym.serving.error_answers import error_response


class Recorder:
    """Answers model calls by `sampler`, each recorded; the same request again is answered with what was recorded."""

    def __init__(self, ledger: Ledger, sampler: Sampler) -> None:
        self.policy_version: int | str | None = None
        """What calls are recorded with where the engine does not tell."""
        self._ledger, self._sampler = ledger, sampler

    async def answer(self, incoming: Incoming) -> RecordedCall:
        """Raises what the sampler raises; `EngineRefusedError` for a `previous_id` that is not known."""
        rollout = self._ledger.rollout(incoming.rollout_key)
        key = incoming.retry_key
        if key is None:
            return await self._sample(rollout, incoming)
        while (earlier := rollout.running.get(key)) is not None:
            # Where it fails, or its client leaves before the answer, the model is asked again.
            await asyncio.wait({earlier})
        recorded = rollout.answered(key)
        if recorded is not None:
            return recorded
        running = asyncio.ensure_future(self._sample(rollout, incoming))
        rollout.running[key] = running
        try:
            return await running
        finally:
            running.cancel()
            del rollout.running[key]

    async def _sample(self, rollout: RolloutLedger, incoming: Incoming) -> RecordedCall:
        asked = self._asked(rollout, incoming)
        version = self.policy_version
        sampled = await self._sampler.sample(asked)
        call = self._recorded(asked, sampled, version)
        self._ledger.add(incoming.rollout_key, call, incoming.retry_key)
        return call

    def _asked(self, rollout: RolloutLedger, incoming: Incoming) -> Asked:
        if incoming.previous_id is not None:
            return self._after_answer(rollout, incoming, incoming.previous_id)
        followed = rollout.followed_by(incoming)
        # Only for a rollout that is not known at all: in a known one, tokens that follow from nothing are on an entry
        # of a conversation that was rewritten before it.
        forgotten = followed is None and not rollout.calls
        if forgotten and any(entry.get("generation_token_ids") is not None for entry in incoming.entries):
            self._restore(incoming)
            followed = rollout.followed_by(incoming)
        if followed is None or incoming.continues_last:
            previous, since = followed or (None, None)
            return Asked(incoming, Conversation.begin(incoming.settings).plus(incoming.entries), previous, since)
        previous, since = followed
        return Asked(incoming, previous.conversation.plus(since), previous, since)

    def _after_answer(self, rollout: RolloutLedger, incoming: Incoming, previous_id: str) -> Asked:
        previous = rollout.by_stem(previous_id)
        if previous is None:
            raise _unknown(previous_id)
        anew = Conversation.begin(incoming.settings)
        if anew.settings == previous.conversation.settings:
            return Asked(incoming, previous.conversation.plus(incoming.entries), previous, incoming.entries)
        conversation = anew.plus(previous.conversation.all()).plus(incoming.entries)
        return Asked(incoming, conversation, previous, None)

    def _recorded(self, asked: Asked, sampled: Sampled, version: int | str | None) -> RecordedCall:
        conversation = asked.conversation
        if asked.incoming.continues_last and len(conversation.entries):
            conversation = conversation.written_on("".join(said(entry) for entry in sampled.answer))
        else:
            conversation = conversation.plus(sampled.answer)
        generation = sampled.generation
        prompt = _prompt(asked.previous, sampled)
        return RecordedCall(
            stem=secrets.token_hex(12),
            created=int(time.time()),
            conversation=conversation,
            answer=sampled.answer,
            ids=prompt.plus(generation.ids),
            kept=sampled.kept,
            prompt_length=len(prompt),
            generation=generation,
            finish_reason=sampled.finish_reason,
            policy_version=generation.policy_version if generation.policy_version is not None else version,
        )

    def _restore(self, incoming: Incoming) -> None:
        """Write calls into the ledger that it no longer knows, from the token fields that the client sends back."""
        conversation = Conversation.begin(incoming.settings)
        previous: RecordedCall | None = None
        for index, entry in enumerate(incoming.entries):
            conversation = conversation.plus([entry])
            if entry.get("generation_token_ids") is None:
                continue
            known = previous.ids.since(0) if previous else []
            prompt = whole_prompt(entry, known, f"input[{index}]")
            kept = common_length(known, prompt)
            generation = Generation(entry["generation_token_ids"], entry["generation_log_probs"], "stop")
            sampled = Sampled(kept, prompt[kept:], generation, [entry], "stop")
            previous = RecordedCall(
                stem=secrets.token_hex(12),
                created=int(time.time()),
                conversation=conversation,
                answer=sampled.answer,
                ids=_prompt(previous, sampled).plus(generation.ids),
                kept=kept,
                prompt_length=len(prompt),
                generation=generation,
                finish_reason=sampled.finish_reason,
                policy_version=entry.get("policy_version"),
            )
            self._ledger.add(incoming.rollout_key, previous)


def _prompt(previous: RecordedCall | None, sampled: Sampled) -> Growing[int]:
    """The ids of a prompt, sharing those that it keeps."""
    if previous is None:
        return Growing(sampled.added)
    if sampled.kept == len(previous.ids):
        return previous.ids.plus(sampled.added)
    return Growing(previous.ids.until(sampled.kept)).plus(sampled.added)


def _unknown(previous_id: str) -> EngineRefusedError:
    message = f"`previous_response_id`: no answer `resp_{previous_id}` of this rollout is known; send the conversation"
    refused = error_response(400, "invalid_request_error", message, code=PREVIOUS_NOT_FOUND)
    return EngineRefusedError(refused.status_code, bytes(refused.body))
