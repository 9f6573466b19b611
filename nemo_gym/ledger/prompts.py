"""The next prompt, built from what was sampled: never by writing the conversation out and tokenizing it again.

    prompt(k + 1) = prompt(k) + generation(k) + ids of what came since

What came since is worded by the chat template in a conversation of its own: a stub of an answer, then what came. What
stands there after the stub's text is what follows every answer: the end of its turn, the new messages, and the
beginning of the next answer. No id of the rollout so far is looked at, so a template that drops earlier reasoning, or
a tokenizer that would cut the same text elsewhere, changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from nemo_gym.errors import EngineRefusedError
from nemo_gym.ledger.call import Asked, Json, RecordedCall, Sampled
from nemo_gym.ledger.conversation import said
from nemo_gym.ledger.engine import TokenEngine
from nemo_gym.schemas.prompt_ids import common_length
from nemo_gym.serving.error_answers import error_response

_STUBS = ("a", "B7", "ok.", "{x};")
"""Texts of differing lengths and ends, so that a tokenizer which joins one with what follows it does not join all."""
_TEMPLATE_KEYS = ("chat_template_kwargs", "model")


@dataclass(frozen=True)
class _Ending:
    """How a template ends an answer."""

    stubs: tuple[str, str]
    ids: list[int]


class IdsSampler:
    """Samples by an engine that takes ids, every prompt built on the call before it."""

    def __init__(self, engine: TokenEngine) -> None:
        self._engine = engine
        self._endings: dict[str, _Ending] = {}

    async def sample(self, asked: Asked) -> Sampled:
        """Refuses a prompt that leaves no room for an answer, before the engine is asked."""
        request = chat_request(asked)
        kept, added = await self._prompt(asked, request)
        prompt = [*(asked.previous.ids.until(kept) if asked.previous else ()), *added]
        request = limited(request, len(prompt), await self._engine.context_length())
        generation = await self._engine.generate(prompt, request, asked.incoming.rollout_key)
        message = await self._engine.read(generation, request)
        reason = "tool_calls" if message.get("tool_calls") else generation.finish_reason
        return Sampled(kept, added, generation, [message], reason)

    async def _prompt(self, asked: Asked, request: Json) -> tuple[int, list[int]]:
        """How many ids of the previous call the prompt keeps, and those after them."""
        previous, since = asked.previous, asked.since_previous
        if previous is not None and since is not None:
            added = await self._added(previous, since, request)
            if added is not None:
                return added
        whole = await self._engine.render(request)
        kept = common_length(previous.ids.since(0), whole) if previous is not None else 0
        return kept, whole[kept:]

    async def _added(self, previous: RecordedCall, since: list[Json], request: Json) -> tuple[int, list[int]] | None:
        """None where the template words what came since in no way that follows an answer."""
        try:
            ending = await self._ending(request)
            if request.get("continue_final_message"):
                closed = _closed(previous.generation.ids, ending.ids)
                return len(previous.ids) - closed, await self._engine.encode(said(since[-1]))
            following = await self._following(ending, previous.answer[-1], since, request)
        except EngineRefusedError:
            return None
        if following is None:
            return None
        return len(previous.ids), following[_closed(previous.generation.ids, following[: max(1, len(ending.ids))]) :]

    async def _following(self, ending: _Ending, answer: Json, since: list[Json], request: Json) -> list[int] | None:
        """What stands after an answer's own text: the end of its turn, what came since, the next one's beginning."""
        one, other = ending.stubs
        before, after = await self._stubbed(one, answer, since, request)
        start = len(before) - len(ending.ids)
        if before[start:] == ending.ids and after[:start] == before[:start]:
            return after[start:]
        # The template words an answer otherwise when something follows it: only what comes after can be told.
        other_before, other_after = await self._stubbed(other, answer, since, request)
        closing, following = _common_end(before, other_before), _common_end(after, other_after)
        if len(following) == len(after):
            return None  # the stub was left out of it
        calls = closing[: len(closing) - len(ending.ids)]
        return following[len(calls) :] if following[: len(calls)] == calls else None

    async def _stubbed(self, stub: str, answer: Json, since: list[Json], request: Json) -> tuple[list[int], list[int]]:
        """The stub's conversation, without and with what came since."""
        calls = [
            {**call, "function": {"name": call["function"]["name"], "arguments": f'{{"a": "{stub}"}}'}}
            for call in answer.get("tool_calls") or ()
        ]
        messages = _stub(stub, calls)
        return await asyncio.gather(
            self._engine.render({**_template(request), "messages": messages, "add_generation_prompt": False}),
            self._engine.render({**request, "messages": [*messages, *since], "tools": None}),
        )

    async def _ending(self, request: Json) -> _Ending:
        """How the template ends an answer without tool calls: found once, from stubs that end differently."""
        template = _template(request)
        key = repr(sorted(template.items()))
        if key not in self._endings:
            ends = await asyncio.gather(
                *(
                    self._engine.render({**template, "messages": _stub(stub, []), "add_generation_prompt": False})
                    for stub in _STUBS
                )
            )
            pairs = combinations(zip(_STUBS, ends, strict=True), 2)
            endings = [_Ending((one[0], other[0]), _common_end(one[1], other[1])) for one, other in pairs]
            self._endings[key] = max(endings, key=lambda ending: len(ending.ids))
        return self._endings[key]


def limited(request: Json, prompt_length: int, context_length: int | None) -> Json:
    """The request with `max_tokens` no more than the context has left.

    Raises `EngineRefusedError` where nothing is left.
    """
    asked = [request[name] for name in ("max_completion_tokens", "max_tokens") if request.get(name) is not None]
    rest = {name: value for name, value in request.items() if name not in ("max_completion_tokens", "max_tokens")}
    if context_length is None:
        return {**rest, "max_tokens": asked[0]} if asked else rest
    left = context_length - prompt_length
    if left < 1:
        raise context_overflow(prompt_length, context_length)
    return {**rest, "max_tokens": min([left, *asked])}


def context_overflow(prompt_length: int, context_length: int) -> EngineRefusedError:
    """The refusal of a prompt that leaves no room for an answer, in the words by which clients know it."""
    message = f"This model's maximum context length is {context_length} tokens; the prompt has {prompt_length}."
    refused = error_response(400, "invalid_request_error", message, code="context_length_exceeded")
    return EngineRefusedError(refused.status_code, bytes(refused.body))


def chat_request(asked: Asked) -> Json:
    """The call as a chat request with its whole conversation; no message has token fields."""
    incoming = asked.incoming
    instructions = incoming.settings.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions is not None else []
    request: Json = {**incoming.settings, **incoming.request, "messages": [*system, *asked.conversation.all()]}
    request.pop("instructions", None)
    return request


def _template(request: Json) -> Json:
    """What of a request the wording of a stub depends on."""
    return {key: request[key] for key in _TEMPLATE_KEYS if request.get(key) is not None}


def _stub(text: str, tool_calls: Sequence[Json]) -> list[Json]:
    answer = {"role": "assistant", "content": "" if tool_calls else text}
    return [{"role": "user", "content": "u"}, {**answer, "tool_calls": list(tool_calls)} if tool_calls else answer]


def _closed(generated: Sequence[int], ending: Sequence[int]) -> int:
    """How many ids of `ending` the generation ends with: those that the model sampled itself."""
    longest = min(len(generated), len(ending))
    return next(length for length in range(longest, -1, -1) if generated[len(generated) - length :] == ending[:length])


def _common_end(one: Sequence[int], other: Sequence[int]) -> list[int]:
    reverse: Iterable[int] = one[len(one) - common_length(one[::-1], other[::-1]) :]
    return list(reverse)
