"""Scripted policies find their row, keep to one policy a rollout, and answer the same whatever the order of arrival."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import ReferencePolicyError
from nemo_gym.reference_policies import (
    PolicyPlayer,
    PolicyTurn,
    RecentlyUsed,
    RowIndex,
    function_call,
    load_policies,
    load_policy,
    message,
    reasoning,
    split_model_calls,
    tool_outputs,
)

Json = dict[str, Any]
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "5"}


def row(request_input: Any, answer: str = "", tools: tuple[str, ...] = ()) -> Json:
    params = {"input": request_input, "tools": [{"type": "function", "name": name} for name in tools]}
    return {"responses_create_params": params, "answer": answer}


def oracle(turn: PolicyTurn) -> str:
    return turn.row["answer"] if turn.row else "no row"


def guess(turn: PolicyTurn) -> str:
    return str(turn.rng.randint(0, 10**9))


def say(player: PolicyPlayer, request_input: Any, key: str) -> str:
    [item] = player.respond({"input": request_input}, key)
    return item["content"][0]["text"]


# -------------------------------------------------------------------------------------------------------- finding rows


def test_a_row_is_found_by_what_its_items_say_and_not_by_how_they_are_written() -> None:
    index = RowIndex(
        [row("hello"), row([{"role": "developer", "content": "be brief"}, {"role": "user", "content": "x"}])]
    )
    assert index.find([{"type": "message", "role": "user", "content": "hello"}], [])
    parts = [{"type": "input_text", "text": "hel"}, {"type": "input_text", "text": "lo"}]
    assert index.find([{"role": "user", "content": parts}, message("hi"), {"role": "user", "content": "more"}], [])
    assert index.find([{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}], [])
    assert index.find([{"role": "user", "content": "hello!"}], []) is None
    assert index.find([], []) is None


def test_a_row_is_found_behind_instructions_that_became_a_system_message() -> None:
    index = RowIndex([row("hello")])
    assert index.find([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}], [])


def test_the_longer_row_wins_where_one_begins_with_the_other() -> None:
    longer = [{"role": "user", "content": "a"}, message("b"), {"role": "user", "content": "c"}]
    index = RowIndex([row("a", "short"), row(longer, "long")])
    assert index.find([*longer, message("d")], [])["answer"] == "long"
    assert index.find(longer[:2], [])["answer"] == "short"


def test_rows_of_equal_input_are_told_apart_by_tools_else_the_first_wins() -> None:
    index = RowIndex([row("a", "1"), row("a", "2", ("add",)), row("a", "3", ("add",))])
    items = [{"role": "user", "content": "a"}]
    assert index.find(items, [{"type": "function", "name": "add"}])["answer"] == "2"
    assert index.find(items, [])["answer"] == "1"
    assert index.find(items, [{"type": "function", "name": "other"}])["answer"] == "1"


def test_model_calls_are_split_at_what_the_model_did_not_write_and_after_tokens() -> None:
    call = {**function_call("add", {}), "call_id": "c"}
    tokens = {"prompt_token_ids": [], "generation_token_ids": [1], "generation_log_probs": [0.0]}
    items = [reasoning("hm"), call, call, OUTPUT, OUTPUT, {**call, **tokens}, call, OUTPUT, message("5")]
    assert [len(part) for part in split_model_calls(items)] == [3, 1, 1, 1]
    assert split_model_calls([{"role": "user", "content": "x"}]) == []


# -------------------------------------------------------------------------------------------------------------- playing


def test_the_oracle_sees_its_row_and_a_request_without_row_says_so() -> None:
    player = PolicyPlayer({"oracle": oracle}, "oracle", [row("a", "A"), row("b", "B")])
    assert (say(player, "b", "r1"), say(player, "a", "r2"), say(player, "z", "r3")) == ("B", "A", "no row")


def test_steps_count_the_model_calls_of_the_rollout_and_tool_outputs_are_its_own() -> None:
    seen: list[tuple[int, list[str]]] = []

    def policy(turn: PolicyTurn) -> list[Json]:
        seen.append((turn.step, tool_outputs(turn)))
        return [function_call("add", {"n": turn.step}), function_call("add", "{")]

    history = [
        {"role": "user", "content": "q"},
        {**function_call("x", {}), "call_id": "h"},
        {**OUTPUT, "output": "old"},
    ]
    player = PolicyPlayer({"p": policy}, "p", [row(history)])
    items = list(history)
    for output in ("1", "2"):
        calls = player.respond({"input": items}, "r")
        items += [*calls, *({**OUTPUT, "call_id": call["call_id"], "output": output} for call in calls)]
    assert seen == [(0, []), (1, ["1", "1"])]
    call_ids = [item["call_id"] for item in items[len(history) :] if item["type"] == "function_call"]
    assert len(set(call_ids)) == 4


def test_a_repeated_request_is_the_same_step() -> None:
    player = PolicyPlayer({"p": lambda turn: str(turn.step)}, "p", [row("a")])
    assert [say(player, "a", "r"), say(player, "a", "r")] == ["0", "0"]


def test_a_rollout_keeps_its_policy_and_its_rng_over_all_steps() -> None:
    rngs: dict[str, set[int]] = {}

    def remember(name: str) -> Any:
        def policy(turn: PolicyTurn) -> str:
            rngs.setdefault(name, set()).add(id(turn.rng))
            return name

        return policy

    player = PolicyPlayer({name: remember(name) for name in "ab"}, {"a": 0.5, "b": 0.5}, [row("q")])
    items: list[Json] = [{"role": "user", "content": "q"}]
    names = set()
    for _ in range(20):
        [item] = player.respond({"input": items}, "one")
        names.add(item["content"][0]["text"])
        items += [item, {"role": "user", "content": "again"}]
    assert len(names) == 1
    assert len(rngs[names.pop()]) == 1


def test_repeats_differ_and_the_set_of_answers_does_not_depend_on_the_order_of_arrival() -> None:
    requests = [("a", f"a{i}") for i in range(8)] + [("b", f"b{i}") for i in range(8)]

    def answers(order: list[tuple[str, str]]) -> Counter[tuple[str, str]]:
        player = PolicyPlayer({"g": guess}, "g", [row("a"), row("b")], seed=7)
        return Counter((prompt, say(player, prompt, key)) for prompt, key in order)

    in_order = answers(requests)
    shuffled = list(requests)
    random.Random(1).shuffle(shuffled)
    assert answers(shuffled) == in_order
    assert len(in_order) == 16


def test_a_mixture_is_drawn_by_its_weights_and_another_seed_draws_otherwise() -> None:
    def drawn(seed: int) -> list[str]:
        mixture = {"oracle": 0.6, "guess": 0.3, "never": 0.0, "empty": 0.1}
        policies = {name: (lambda turn, name=name: name) for name in mixture}
        player = PolicyPlayer(policies, mixture, [row("a")], seed=seed)
        return [say(player, "a", str(index)) for index in range(1000)]

    counts = Counter(drawn(0))
    assert "never" not in counts
    assert counts["oracle"] == pytest.approx(600, abs=60)
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize(
    ("mixture", "named"),
    [
        ("orakle", "did you mean `oracle`"),
        ({"oracle": -1}, "weight"),
        ({"oracle": 0}, "more than 0"),
        ({}, "more than 0"),
    ],
)
def test_a_mixture_that_cannot_be_played_is_refused(mixture: Any, named: str) -> None:
    with pytest.raises(ReferencePolicyError, match=named):
        PolicyPlayer({"oracle": oracle}, mixture)


def test_only_the_values_used_last_are_kept() -> None:
    kept: RecentlyUsed[int] = RecentlyUsed(2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.get("a")
    kept.put("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]


def test_text_that_is_no_unicode_is_made_fit_for_the_wire() -> None:
    player = PolicyPlayer({"p": lambda turn: "\ud83d\udcc5 \ud83d"}, "p")
    assert say(player, "a", "r") == "📅 \ufffd"


# -------------------------------------------------------------------------------------------------------------- loading


def test_policies_are_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policies.py"
    path.write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass A:\n    x: int\n\n"
        "def oracle(turn):\n    return 'yes'\n\nPOLICIES = {'oracle': oracle}\n"
    )
    assert list(load_policies(path)) == ["oracle"]
    assert load_policy(f"{path}:oracle") is not None
    assert load_policy("nemo_gym.reference_policies:message")("x") == message("x")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (None, "no such file"),
        ("x = 1", "POLICIES"),
        ("POLICIES = {'a': 1}", "POLICIES"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_policies_file_that_is_none_is_refused_by_name(tmp_path: Path, source: str | None, named: str) -> None:
    path = tmp_path / "policies.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(ReferencePolicyError, match=named) as caught:
        load_policies(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("messsage", "write"),
        ("no_such_module_x:f", "cannot import"),
        ("nemo_gym.reference_policies:messge", "`message`"),
    ],
)
def test_a_function_that_is_not_there_is_refused_by_name(place: str, named: str) -> None:
    with pytest.raises(ReferencePolicyError, match=named):
        load_policy(place)
