"""Random rollouts before the adversarial engine, by clients of all kinds; what was really sampled is written down."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nemo_gym.errors import EngineRefusedError
from nemo_gym.ledger.call import Incoming, RecordedCall
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.ledger import Ledger
from nemo_gym.ledger.prompts import IdsSampler
from nemo_gym.ledger.recorder import Recorder
from responses_api_models.scripted_model.adversarial_engine import AdversarialEngine

Json = dict[str, Any]

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
PIECES = [
    "a",
    "the",
    " the",
    ".",
    "\n",
    "\n\n",
    "  ",
    "<",
    ">",
    "[user]",
    "é",
    "日本",
    "🙂",
    "#",
    "{",
    "}",
    "x" * 7,
    "<|en",
]


@dataclass
class Rollout:
    """One rollout, as its client and as its engine saw it."""

    sampled: list[tuple[list[int], list[int]]] = field(default_factory=list)
    """What the engine was given and what it sampled, each time it was asked."""
    items: list[Json] = field(default_factory=list)
    """What the client keeps: an item with token fields for each answer."""
    rewrites: int = 0
    """How often the client rewrote the history."""
    added: list[list[Json]] = field(default_factory=list)
    """What the client added before each call after the first; empty where it rewrote."""
    replays: int = 0


class WatchedEngine(AdversarialEngine):
    """Writes at random, and writes down what it sampled."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(self._write)
        self._rng = rng
        self.sampled: list[tuple[list[int], list[int]]] = []

    async def generate(self, prompt_ids: Sequence[int], request: Json, rollout_key: str) -> Generation:
        generation = await super().generate(prompt_ids, request, rollout_key)
        self.sampled.append((list(prompt_ids), generation.ids))
        return generation

    def _write(self, request: Json, rollout_key: str) -> str:
        rng = self._rng
        thought = f"<think>{words(rng)}</think>{rng.choice(['', ' ', chr(10) * 2])}" if rng.random() < 0.4 else ""
        if rng.random() < 0.05:
            return thought
        if not request.get("tools") or rng.random() < 0.5:
            return thought + words(rng)
        calls = [
            f"<tool_call>{rng.choice(['', ' ', chr(10)])}{_call(rng)}</tool_call>" for _ in range(rng.choice((1, 1, 2)))
        ]
        return thought + rng.choice(["", words(rng)]) + "".join(calls)


def words(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 9))) + str(rng.randrange(10**6))


def _call(rng: random.Random) -> str:
    call = {"name": "look_up", "arguments": {"b": words(rng), "a": rng.randrange(99)}}
    return json.dumps(call, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5)


class Client:
    """Plays one rollout. `rewrites`: whether it may change what was said."""

    def __init__(self, seed: int, *, rewrites: bool) -> None:
        self.rng = random.Random(seed)
        self.rollout = Rollout()
        self._engine = WatchedEngine(self.rng)
        self._recorder = self._new_recorder()
        self._rewrites = rewrites
        self._remembers = self.rng.random() < 0.5
        self._instructions = words(self.rng) if self.rng.random() < 0.3 else None
        self._tools = TOOLS if self.rng.random() < 0.6 else []
        self._messages: list[Json] = [{"role": "user", "content": words(self.rng)}]
        self._history: list[tuple[RecordedCall, list[Json]]] = []
        """Each call, and the conversation after its answer."""

    def _new_recorder(self) -> Recorder:
        return Recorder(Ledger(max_ids=10**9, idle_s=10**9), IdsSampler(self._engine))

    async def play(self, calls: int) -> Rollout:
        await self._call(None, [])
        for _ in range(calls - 1):
            self._restart_sometimes()
            if self._rewrites and self.rng.random() < 0.4:
                await self._rewrite()
            else:
                previous, _ = self._history[-1]
                added = self._reply()
                self._messages = [*self._messages, *added]
                self.rollout.added.append(added)
                await self._call(previous, added)
        self.rollout.sampled = self._engine.sampled
        return self.rollout

    async def _call(self, previous: RecordedCall | None, added: list[Json]) -> None:
        """One model call; `previous`: what a client that remembers may go on from."""
        by_id = previous is not None and self._remembers
        key = f"call-{len(self._history)}-{self.rng.random()}"
        request = {"max_tokens": self.rng.randrange(1, 30)} if self.rng.random() < 0.05 else {}

        def incoming(whole: bool) -> Incoming:
            return Incoming(
                rollout_key="r",
                settings={"instructions": self._instructions, "tools": self._tools},
                entries=self._as_sent() if whole else added,
                request=request,
                previous_id=None if whole or previous is None else previous.stem,
                retry_key=key,
            )

        try:
            call = await self._recorder.answer(incoming(not by_id))
        except EngineRefusedError:
            by_id = False
            call = await self._recorder.answer(incoming(True))
        while self.rng.random() < 0.15:
            self.rollout.replays += 1
            assert await self._recorder.answer(incoming(not by_id)) is call, "sent again, sampled again"
        [answer] = call.answer
        tokens = call.token_fields(short=by_id)
        self.rollout.items.append(
            {"type": "message", "role": "assistant", "content": answer.get("content") or "", **tokens}
        )
        self._messages = [*self._messages, {**answer, **tokens}]
        self._history.append((call, self._messages))

    def _reply(self) -> list[Json]:
        """What an environment says: outputs of the calls, and sometimes a message."""
        calls = self._messages[-1].get("tool_calls") or []
        outputs = [{"role": "tool", "tool_call_id": call["id"], "content": words(self.rng)} for call in calls]
        if outputs and self.rng.random() < 0.8:
            return outputs
        return [*outputs, {"role": "user", "content": words(self.rng)}]

    def _restart_sometimes(self) -> None:
        """The model server starts anew: only a conversation sent as a whole, tokens included, brings back what was."""
        if self.rng.random() < 0.05:
            self._recorder = self._new_recorder()

    def _as_sent(self) -> list[Json]:
        """The conversation as this client words it: the same, written otherwise."""
        return [self._reworded(message) for message in self._messages]

    def _reworded(self, message: Json) -> Json:
        if message["role"] != "assistant":
            return message
        sent = dict(message)
        if sent.get("tool_calls"):
            sent["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": _respaced(call["function"]["arguments"])}}
                for call in sent["tool_calls"]
            ]
        if self.rng.random() < 0.3 and isinstance(sent.get("content"), str) and sent["content"]:
            sent["content"] = [{"type": "text", "text": sent["content"]}]
        return sent

    async def _rewrite(self) -> None:
        """Say that something else was said, and go on from there; the token fields of that no longer hold."""
        rng, messages = self.rng, [_untold(message) for message in self._messages]
        thoughts = [index for index, message in enumerate(messages) if message.get("reasoning_content")]
        match rng.choice(["reasoning", "compact", "edit", "back", "tools", "instructions"]):
            case "reasoning" if thoughts:
                messages[thoughts[0]] = {
                    key: value for key, value in messages[thoughts[0]].items() if key != "reasoning_content"
                }
            case "compact" if len(messages) > 3:
                messages = [{"role": "user", "content": f"summary {words(rng)}"}, *messages[-1:]]
            case "tools":
                self._tools = [] if self._tools else TOOLS
                messages = [_without_calls(message) for message in messages if message["role"] != "tool"]
            case "instructions":
                self._instructions = words(rng)
            case "back" if len(self._history) > 1:
                _, conversation = rng.choice(self._history[:-1])
                self._messages = conversation
                self._messages = [*conversation, *self._reply()]
                await self._rewritten()
                return
            case _:
                messages[0] = {"role": "user", "content": words(rng)}
        self._messages = messages
        self._messages = [*messages, *self._reply()]
        await self._rewritten()

    async def _rewritten(self) -> None:
        self.rollout.rewrites += 1
        self.rollout.added.append([])
        await self._call(None, [])


def _untold(message: Json) -> Json:
    return {key: value for key, value in message.items() if not key.endswith(("_ids", "_log_probs", "_kept", "_added"))}


def _without_calls(message: Json) -> Json:
    return {**message, "tool_calls": None, "content": "-"} if message.get("tool_calls") else message


def _respaced(arguments: str) -> str:
    return json.dumps(json.loads(arguments), indent=2)
