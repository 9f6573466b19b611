"""Reference policies: scripted stand-ins for a model, which an environment ships to show and test what it rewards.

An environment's `policies.py` defines functions of one `PolicyTurn` and ends with
`POLICIES = {"oracle": ..., "random": ..., "malformed": ...}`. `PolicyPlayer` finds the task row that a request belongs
to and plays a policy, or a mixture of them, over all model calls of a rollout.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ReferencePolicyError

Item = dict[str, Any]
"""One item of the Responses API, as plain JSON."""


@dataclass(frozen=True)
class PolicyTurn:
    """What a policy sees at one model call."""

    row: dict[str, Any] | None
    """The task row that the request's first items are from; None where no row has them."""
    input: list[Item]
    """The request's items so far, the row's own first."""
    tools: list[dict[str, Any]]
    step: int
    """Model calls answered before in this rollout, from 0."""
    rng: random.Random
    """The rollout's own, seeded; the same over all its steps."""
    occurrence: int = 0
    """Rollouts of this row that began before this one."""


_Value = TypeVar("_Value")
Policy = Callable[[PolicyTurn], str | list[Item]]
"""Answers one model call: text is one assistant message; else output items."""

# ------------------------------------------------------------------------------------------------- what a policy writes


def message(text: str) -> Item:
    """An assistant message."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, "status": "completed"}


def function_call(name: str, arguments: dict[str, Any] | str) -> Item:
    """A tool call; text is sent as it is, so that broken JSON can be written. The player gives it a `call_id`."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"type": "function_call", "name": name, "arguments": text, "status": "completed"}


def reasoning(text: str) -> Item:
    """A reasoning item."""
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def tool_outputs(turn: PolicyTurn) -> list[str]:
    """What the tools answered in this rollout, in order; tool outputs that the row itself begins with are left out."""
    before = [] if turn.row is None else items_of(turn.row["responses_create_params"]["input"])
    outputs = [_text(item.get("output")) for item in turn.input if item.get("type") == "function_call_output"]
    return outputs[sum(item.get("type") == "function_call_output" for item in before) :]


# -------------------------------------------------------------------------------------------------------- finding rows


def items_of(request_input: str | Sequence[Item]) -> list[Item]:
    """A request's `input` as items: a string is one user message."""
    return [{"role": "user", "content": request_input}] if isinstance(request_input, str) else list(request_input)


def split_model_calls(items: Iterable[Item]) -> list[list[Item]]:
    """What the model wrote, one list per model call, in order.

    A call ends where something comes that no model writes (a tool output, a user's message), and after token fields.
    Two calls with nothing between them and no tokens look like one.
    """
    calls: list[list[Item]] = []
    open_call = False
    for item in items:
        if not _is_written_by_model(item):
            open_call = False
            continue
        if not open_call:
            calls.append([])
        calls[-1].append(item)
        open_call = item.get("generation_token_ids") is None
    return calls


class RowIndex:
    """Finds task rows by the items with which a request begins.

    Items are compared by role and text alone, `developer` counting as `system`; reasoning items and `instructions` are
    not compared. Where one row's input begins with another's, the longer one wins. Rows with equal input are told
    apart by the names of their tools; where these are equal too, the first row wins.
    """

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows: dict[bytes, list[dict[str, Any]]] = {}
        self._longest = 0
        for row in rows:
            digests = _prefix_digests(items_of(row["responses_create_params"]["input"]))
            self._rows.setdefault(digests[-1], []).append(row)
            self._longest = max(self._longest, len(digests) - 1)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def find(self, items: Sequence[Item], tools: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """The row that a request belongs to, None where there is none."""
        rows = self.find_all(items, tools)
        return rows[0] if rows else None

    def find_all(self, items: Sequence[Item], tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """All rows that a request may belong to, in the order given: those with its tools, else with any."""
        found = self._longest_match(items)
        if not found and items and _is_system(items[0]):
            # `instructions` reach a chat endpoint as a system message that the row's input does not have.
            found = self._longest_match(items[1:])
        names = _tool_names(tools)
        return [row for row in found if _tool_names(row["responses_create_params"].get("tools")) == names] or found

    def _longest_match(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        digests = _prefix_digests(items, at_most=self._longest)
        return next((self._rows[digest] for digest in reversed(digests) if digest in self._rows), [])


def row_digest(row: dict[str, Any]) -> str:
    """Names a row by its input and tools: equal for rows that `RowIndex` cannot tell apart."""
    params = row["responses_create_params"]
    running = hashlib.blake2b(_prefix_digests(items_of(params["input"]))[-1], digest_size=16)
    running.update(json.dumps(_tool_names(params.get("tools"))).encode())
    return running.hexdigest()


def _prefix_digests(items: Sequence[Item], at_most: int | None = None) -> list[bytes]:
    """Digests of the first 0, 1, 2, ... items that count."""
    running = hashlib.blake2b(digest_size=16)
    digests = [running.digest()]
    for item in items:
        if at_most is not None and len(digests) > at_most:
            break
        if item.get("type") == "reasoning":
            continue
        for text in _canonical(item):
            data = text.encode("utf-8", errors="surrogatepass")
            running.update(len(data).to_bytes(8, "big") + data)
        digests.append(running.digest())
    return digests


def _canonical(item: Item) -> tuple[str, ...]:
    role = item.get("role")
    if role is not None:
        return "system" if role == "developer" else str(role), _text(item.get("content"))
    if item.get("type") == "function_call":
        return "function_call", str(item.get("name")), str(item.get("arguments"))
    if item.get("type") == "function_call_output":
        return "function_call_output", _text(item.get("output"))
    return str(item.get("type")), json.dumps(item, sort_keys=True, default=str)


def _text(content: object) -> str:
    """Text of a message or tool output: parts of text are joined, others stand as JSON."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text", part.get("refusal")) for part in content]
    return "".join(
        text if isinstance(text, str) else json.dumps(part, sort_keys=True)
        for part, text in zip(content, texts, strict=True)
    )


def _is_system(item: Item) -> bool:
    return item.get("role") in ("system", "developer")


def _is_written_by_model(item: Item) -> bool:
    if item.get("role") is not None:
        return bool(item["role"] == "assistant")
    return not str(item.get("type")).endswith("_output")


def _tool_names(tools: Iterable[dict[str, Any]] | None) -> list[str]:
    return sorted(str(tool.get("name") or tool.get("type")) for tool in tools or ())


# -------------------------------------------------------------------------------------------------------------- playing


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
        step = rollout.calls if row is None else calls_since_row(row, items)
        answer = self._policies[rollout.policy](PolicyTurn(row, items, tools, step, rollout.rng, rollout.occurrence))
        rollout.calls += 1
        output = [message(answer)] if isinstance(answer, str) else answer
        return [_with_ids(_as_sent(item), f"{rollout.stem}_{step}_{index}") for index, item in enumerate(output)]

    def _begin(self, rollout_key: str, row: dict[str, Any] | None, items: list[Item]) -> _Rollout:
        digest = row_digest(row) if row is not None else _prefix_digests(items)[-1].hex()
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


# -------------------------------------------------------------------------------------------------------------- loading


def load_policies(path: Path) -> dict[str, Policy]:
    """The `POLICIES` of a `policies.py`. Raises `ReferencePolicyError` where it cannot be imported or has none."""
    policies = vars(_import_file(path)).get("POLICIES")
    if not isinstance(policies, dict) or not policies or not all(callable(policy) for policy in policies.values()):
        raise ReferencePolicyError(f'{path}: must end with `POLICIES = {{"oracle": oracle, ...}}`, functions by name')
    return policies


def load_policy(place: str) -> Policy:
    """The function at `package.module:function` or `path/to/file.py:function`."""
    module_name, _, name = place.rpartition(":")
    if not module_name:
        raise ReferencePolicyError(f"`{place}`: write `package.module:function` or `path/to/file.py:function`")
    if module_name.endswith(".py"):
        module = _import_file(Path(module_name))
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise ReferencePolicyError(f"`{place}`: cannot import `{module_name}`: {error}") from error
    functions = {key: value for key, value in vars(module).items() if callable(value)}
    if name not in functions:
        raise ReferencePolicyError(f"`{place}`: no function `{name}`: {suggestion(name, functions, kind='functions')}")
    policy: Policy = functions[name]
    return policy


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ReferencePolicyError(f"{path}: no such file")
    name = f"nemo_gym_policies_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ReferencePolicyError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
