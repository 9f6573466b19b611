"""The ledger: every model call of the rollouts that are under way, by which a later one knows what it follows."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from nemo_gym.ledger.call import Incoming, Json, RecordedCall
from nemo_gym.ledger.conversation import Conversation, said

_KEPT_ANSWERS = 64
"""So many answers of a rollout can be given once more; a request is sent again soon or never."""


class RolloutLedger:
    """The model calls of one rollout, in order."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self.used_at = 0.0
        self.size = 0
        """Ids held."""
        self.running: dict[str, asyncio.Future[RecordedCall]] = {}
        """Calls that are being sampled, by retry key."""
        self._by_stem: dict[str, RecordedCall] = {}
        self._by_digest: dict[bytes, RecordedCall] = {}
        self._by_retry: OrderedDict[str, RecordedCall] = OrderedDict()

    def add(self, call: RecordedCall, retry_key: str | None = None) -> None:
        self.calls.append(call)
        self.size += len(call.ids) - call.kept
        self._by_stem[call.stem] = call
        if call.answer:
            self._by_digest[call.conversation.digest] = call
        if retry_key is not None:
            self._by_retry[retry_key] = call
            if len(self._by_retry) > _KEPT_ANSWERS:
                self._by_retry.popitem(last=False)

    def answered(self, retry_key: str) -> RecordedCall | None:
        """The recorded answer to a request that is sent again."""
        return self._by_retry.get(retry_key)

    def by_stem(self, stem: str) -> RecordedCall | None:
        """The call whose answer has ids made from `stem`."""
        return self._by_stem.get(stem)

    def followed_by(self, incoming: Incoming) -> tuple[RecordedCall, list[Json]] | None:
        """The latest call that a whole conversation goes on from, and what came since; None where there is none."""
        if incoming.continues_last and incoming.entries:
            return self._written_on(incoming)
        so_far = Conversation.begin(incoming.settings)
        found = None
        for number, entry in enumerate(incoming.entries, start=1):
            so_far = so_far.plus([entry])
            call = self._by_digest.get(so_far.digest)
            if call is not None:
                found = call, incoming.entries[number:]
        return found

    def _written_on(self, incoming: Incoming) -> tuple[RecordedCall, list[Json]] | None:
        """The call whose last message is the beginning of this conversation's last, and the rest of that one's text."""
        *earlier, last = incoming.entries
        before_last = Conversation.begin(incoming.settings).plus(earlier).digest
        text = said(last)
        for call in reversed(self.calls):
            conversation = call.conversation
            if conversation.before_last == before_last and text.startswith(said(conversation.last)):
                return call, [{**last, "content": text.removeprefix(said(conversation.last))}]
        return None


class Ledger:
    """The rollouts under way. Those not used for `idle_s` seconds go, and beyond `max_ids` those used longest ago.

    A rollout that went is no loss: its agent sends the whole conversation again, tokens included.
    """

    def __init__(self, *, max_ids: int, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_ids, self._idle_s, self._clock = max_ids, idle_s, clock
        self._rollouts: OrderedDict[str, RolloutLedger] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._rollouts)

    def rollout(self, key: str) -> RolloutLedger:
        """The ledger of a rollout, a new one where there is none."""
        now = self._clock()
        while self._rollouts and self._oldest().used_at < now - self._idle_s:
            self._drop_oldest()
        rollout = self._rollouts.setdefault(key, RolloutLedger())
        rollout.used_at = now
        self._rollouts.move_to_end(key)
        return rollout

    def add(self, key: str, call: RecordedCall, retry_key: str | None = None) -> None:
        """Record a call of a rollout."""
        rollout = self.rollout(key)
        before = rollout.size
        rollout.add(call, retry_key)
        self._size += rollout.size - before
        while self._size > self._max_ids and len(self._rollouts) > 1:
            self._drop_oldest()

    def _oldest(self) -> RolloutLedger:
        return next(iter(self._rollouts.values()))

    def _drop_oldest(self) -> None:
        _, rollout = self._rollouts.popitem(last=False)
        self._size -= rollout.size
