"""Finds the task row that a request belongs to, by the items with which it begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from nemo_gym.reference_policies.items import Item, items_of, text_of


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
            digests = prefix_digests(items_of(row["responses_create_params"]["input"]))
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
        digests = prefix_digests(items, at_most=self._longest)
        return next((self._rows[digest] for digest in reversed(digests) if digest in self._rows), [])


def row_digest(row: dict[str, Any]) -> str:
    """Names a row by its input and tools: equal for rows that `RowIndex` cannot tell apart."""
    params = row["responses_create_params"]
    running = hashlib.blake2b(prefix_digests(items_of(params["input"]))[-1], digest_size=16)
    running.update(json.dumps(_tool_names(params.get("tools"))).encode())
    return running.hexdigest()


def prefix_digests(items: Sequence[Item], at_most: int | None = None) -> list[bytes]:
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
        return "system" if role == "developer" else str(role), text_of(item.get("content"))
    if item.get("type") == "function_call":
        return "function_call", str(item.get("name")), str(item.get("arguments"))
    if item.get("type") == "function_call_output":
        return "function_call_output", text_of(item.get("output"))
    return str(item.get("type")), json.dumps(item, sort_keys=True, default=str)


def _is_system(item: Item) -> bool:
    return item.get("role") in ("system", "developer")


def _tool_names(tools: Iterable[dict[str, Any]] | None) -> list[str]:
    return sorted(str(tool.get("name") or tool.get("type")) for tool in tools or ())
