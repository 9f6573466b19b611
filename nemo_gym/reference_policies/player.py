"""Plays policies over rollouts, reproducibly."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ReferencePolicyError
from nemo_gym.reference_policies.items import Item, items_of, split_model_calls
from nemo_gym.reference_policies.row_index import RowIndex, prefix_digests, row_digest
from nemo_gym.reference_policies.turn import Policy, PolicyTurn, message

_Value = TypeVar("_Value")


@dataclass
class _Rollout:
    """What is remembered of one rollout between its model calls."""

    policy: str
    rng: random.Random
    occurrence: int
    stem: str
    """Begins the ids of its items."""
    calls: int = 0


class PolicyPlayer:
    """Plays policies over rollouts, reproducibly: the n-th rollout of a row always gets the same answers.

    `mixture` is a policy's name, or weights by name: each rollout draws one policy and keeps it. What it draws depends
    on `seed`, the row and how many rollouts of that row came before; so repeats differ, and the set of all answers does
    not depend on the order in which rollouts arrive. State of the `max_rollouts` rollouts used last is kept.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        mixture: str | Mapping[str, float],
        rows: Iterable[dict[str, Any]] = (),
        *,
        seed: int = 0,
        max_rollouts: int = 100_000,
    ) -> None:
        weights = {mixture: 1.0} if isinstance(mixture, str) else dict(mixture)
        for name, weight in weights.items():
            if name not in policies:
                raise ReferencePolicyError(f"no policy `{name}`: {suggestion(name, policies, kind='policies')}")
            if weight < 0:
                raise ReferencePolicyError(f"the weight of policy `{name}` is {weight}: it must be 0 or more")
        if sum(weights.values()) <= 0:
            raise ReferencePolicyError("the weights of a mixture must add up to more than 0")
        self._policies, self._weights = dict(policies), weights
        self.rows = RowIndex(rows)
        self._seed = seed
        self._rollouts: RecentlyUsed[_Rollout] = RecentlyUsed(max_rollouts)
        self._rollouts_of_row: RecentlyUsed[int] = RecentlyUsed(max_rollouts)

    def respond(self, params: Mapping[str, Any], rollout_key: str) -> list[Item]:
        """Output items of the next model call of the rollout `rollout_key`; `params` is the request as plain JSON.

        Each item has an id, and each tool call a `call_id` that is unique in the rollout.
        """
        items, tools = items_of(params["input"]), list(params.get("tools") or ())
        row = self.rows.find(items, tools)
        rollout = self._rollouts.get(rollout_key) or self._begin(rollout_key, row, items)
        # A message that is being continued holds all turns so far: its items do not tell how many.
        if row is None or params.get("continue_final_message") is True:
            step = rollout.calls
        else:
            step = calls_since_row(row, items)
        answer = self._policies[rollout.policy](PolicyTurn(row, items, tools, step, rollout.rng, rollout.occurrence))
        rollout.calls += 1
        output = [message(answer)] if isinstance(answer, str) else answer
        return [_with_ids(_as_sent(item), f"{rollout.stem}_{step}_{index}") for index, item in enumerate(output)]

    def _begin(self, rollout_key: str, row: dict[str, Any] | None, items: list[Item]) -> _Rollout:
        digest = row_digest(row) if row is not None else prefix_digests(items)[-1].hex()
        occurrence = self._rollouts_of_row.get(digest) or 0
        self._rollouts_of_row.put(digest, occurrence + 1)
        rng = random.Random(f"{self._seed}/{digest}/{occurrence}")
        [policy] = rng.choices(list(self._weights), weights=list(self._weights.values()))
        rollout = _Rollout(policy, rng, occurrence, f"{digest[:8]}_{occurrence}")
        self._rollouts.put(rollout_key, rollout)
        return rollout


def calls_since_row(row: dict[str, Any], items: Sequence[Item]) -> int:
    """How many model calls a request's items hold beyond the row's own."""
    row_calls = split_model_calls(items_of(row["responses_create_params"]["input"]))
    return len(split_model_calls(items)) - len(row_calls)


class RecentlyUsed(Generic[_Value]):
    """Values by key, of which the `size` used last are kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, _Value] = OrderedDict()

    def get(self, key: str) -> _Value | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: _Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)


def _as_sent(item: Item) -> Item:
    """The item as JSON can carry it: halves of a character are joined, those left over become U+FFFD."""
    text = json.dumps(item, ensure_ascii=False)
    sent: Item = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return sent


def _with_ids(item: Item, stem: str) -> Item:
    """The item with an id, and a tool call with a `call_id`, where it has none."""
    prefix = {"message": "msg", "function_call": "fc", "reasoning": "rs"}.get(str(item.get("type")), "item")
    named = {**item, "id": item.get("id") or f"{prefix}_{stem}"}
    if item.get("type") == "function_call":
        named["call_id"] = item.get("call_id") or f"call_{stem}"
    return named
