"""Reference policies for search: `oracle`, `no_search`, `random`, `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.search.task import SearchTask

Answer = str | list[dict[str, Any]]

WRONG_ANSWERS = (
    *("Tarquiss", "Nobody", "1066", "Atlantis", "the Severn", "snow globes", "dentist", "Sea of Nowhere", "12,345"),
)
"""`random` says one of these or what is right, each as likely: it is right in one of ten episodes."""

GARBAGE = (
    "",
    "  \n",
    "I would search for it.",
    "<search></search>",
    "<search>" * 20_000,
    "<answer>" + "x" * 50_000,
    "<answer></answer>",
    "</answer>nothing<answer>",
    "<think><answer>inside</answer></think>",
    "<search>" + "river " * 20_000 + "</search>",
    "<search>\u0000 \u202e ٣٤</search>",
    "<answer>\u0000</answer><answer>",
)


def oracle(turn: PolicyTurn) -> Answer:
    """The row's queries one after another, then the first accepted answer."""
    row = turn.row or {}
    queries = row.get("queries") or [row.get("question") or "?"]
    if turn.step < len(queries):
        return _search(turn, queries[turn.step], "I look up what comes next.")
    return _answer(_accepted(turn)[0], "The passage says it.")


def no_search(turn: PolicyTurn) -> Answer:
    """What is asked about, as an answer: a name from the question."""
    return _answer((turn.row or {}).get("evidence", ["?"])[0], "I guess.")


def guess(turn: PolicyTurn) -> Answer:
    """One search with the question itself; then one of ten answers, of which one is right."""
    if turn.step == 0:
        return _search(turn, (turn.row or {}).get("question") or "?", "I have no idea.")
    return _answer(turn.rng.choice((_accepted(turn)[0], *WRONG_ANSWERS)), "It may be this.")


def malformed(turn: PolicyTurn) -> Answer:
    """Garbage text, searches with wrong arguments, tools that do not exist, reasoning only."""
    calls = (
        [function_call("search", {})],
        [function_call("search", {"query": ["a", 1]})],
        [function_call("search", '{"query": "bro')],
        [function_call("search", {"query": "word " * 20_000})],
        [function_call("step", {"reward": 1.0})],
        [function_call("retrieve", {"query": "river"})],
    )
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


def _search(turn: PolicyTurn, query: str, thought: str) -> Answer:
    """By the tool where the row has it."""
    if any(tool.get("name") == "search" for tool in turn.tools):
        return [function_call("search", {"query": query})]
    return f"<think>{thought}</think>\n<search>{query}</search>"


def _answer(text: str, thought: str) -> str:
    return f"<think>{thought}</think>\n<answer>{text}</answer>"


def _accepted(turn: PolicyTurn) -> list[str]:
    return SearchTask.model_validate(turn.row or {"expected_answer": "?"}).accepted_answers


POLICIES = {"oracle": oracle, "no_search": no_search, "random": guess, "malformed": malformed}
