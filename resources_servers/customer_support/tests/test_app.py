"""Whole conversations: through the agent, with both kinds of customer, and call by call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import ConfigError
from nemo_gym.prepare import make_rows
from nemo_gym.testclient import InProcessGym
from resources_servers.customer_support.prepare import KINDS, make_row

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "resources_servers" / "customer_support"
SCRIPTED_MODEL = ROOT / "responses_api_models" / "scripted_model"
MODEL_USER = {"user": "model", "simulated_user": {"user_model_server": {"name": "user_model"}, "max_attempts": 2}}
ROWS = list(make_rows(make_row, num_rows=12, seed=7))
"""Each kind twice."""


def row_of(kind: str) -> dict[str, Any]:
    return next(row for row in ROWS if row["kind"] == kind)


@asynccontextmanager
async def gym_with(
    tmp_path: Path, *, user_model: dict[str, Any] | None = None, agent: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[InProcessGym]:
    """The environment, an agent, the oracle as policy; with `user_model`, a second scripted model as the customer."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    async with InProcessGym() as gym:
        gym.add("env", FOLDER, **settings, **(MODEL_USER if user_model is not None else {}))
        gym.add("policy_model", SCRIPTED_MODEL, policy="oracle", rows_fpaths=[str(tmp_path / "rows.jsonl")])
        if user_model is not None:
            policy = "resources_servers/customer_support/user_policies.py:customer"
            gym.add("user_model", SCRIPTED_MODEL, policy=policy, environment=[], **user_model)
        gym.add(
            "agent",
            ROOT / "responses_api_agents" / "simple_agent",
            resources_server={"name": "env"},
            model_server={"name": "policy_model"},
            **(agent or {}),
        )
        yield gym


async def run(gym: InProcessGym, row: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = (await gym.client.post("agent", "/run", row)).parse()
    return result


async def test_the_oracle_settles_every_kind_of_case(tmp_path: Path) -> None:
    async with gym_with(tmp_path) as gym:
        results = [await run(gym, row) for row in ROWS]
    assert [(result["kind"], result["reward"], result["violations"]) for result in results] == [
        (row["kind"], 1.0, []) for row in ROWS
    ]
    assert {result["stop_reason"] for result in results} == {"terminated"} and len(KINDS) == 6


async def test_a_stored_conversation_gets_its_reward_again_from_its_answers_alone(tmp_path: Path) -> None:
    async with gym_with(tmp_path) as gym:
        for row in ROWS[:6]:
            result = await run(gym, row)
            stored = {**row, **{key: result[key] for key in ("response", "mode", "turns")}}
            without_turns = {**row, "response": result["response"]}
            for again in (stored, without_turns):
                verified = (await gym.client.post("env", "/verify", again)).parse()
                assert (verified["reward"], verified["state_correct"]) == (1.0, True)
        assert (await gym.client.get("env", "/reverify_mode")).parse() == "stateless"


async def test_a_model_server_plays_the_customer_and_its_tokens_are_its_own(tmp_path: Path) -> None:
    async with gym_with(tmp_path, user_model={}) as gym:
        for kind in ("refund_in_window", "change_address", "wrong_identity", "order_status", "cancel"):
            result = await run(gym, row_of(kind))
            assert result.get("reward") == 1.0, result.get("_ng_failure", kind)
            turns = result["turns"]
            assert result["usage"]["total_tokens"] == sum(
                turn["input_tokens"] + turn["output_tokens"] for turn in turns
            )
            spent = [turn["info"]["user_usage"]["total_tokens"] for turn in turns if turn["info"].get("user_usage")]
            assert len(spent) >= 2 and result["user_usage"]["total_tokens"] == sum(spent)
            said = [item for item in result["response"]["output"] if item.get("role") == "user"]
            assert all("###STOP###" not in item["content"] for item in said)
        assert (await gym.client.get("env", "/reverify_mode")).parse() == "unsupported"


@pytest.mark.parametrize("fault", ["http_500", "malformed_json", "empty"])
async def test_a_customer_who_fails_is_a_failure_and_no_reward(tmp_path: Path, fault: str) -> None:
    async with gym_with(tmp_path, user_model={"faults": {fault: 1.0}}) as gym:
        result = await run(gym, row_of("cancel"))
    assert "reward" not in result and result["_ng_failure_class"] == "resources_error"
    assert "user model `user_model`" in result["_ng_failure"]["message"]


async def test_turns_earn_what_they_raise_the_score_by(tmp_path: Path) -> None:
    async with gym_with(tmp_path, per_turn_rewards=True) as gym:
        result = await run(gym, row_of("refund_in_window"))
    earned = [turn["reward"] for turn in result["turns"] if turn["reward"] is not None]
    assert sum(earned) == pytest.approx(result["reward"]) == 1.0
    assert earned[0] == 0.0 and max(earned) == pytest.approx(1.0)


class Session:
    """One session, call by call."""

    def __init__(self, gym: InProcessGym, row: dict[str, Any]) -> None:
        self.gym, self.row, self.order_id = gym, row, row["user"]["facts"]["order number"]

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.gym.client.post("env", path, body, headers={"x-session-id": "a"})
        assert answer.ok, answer.text
        parsed: dict[str, Any] = answer.parse()
        return parsed

    async def step(self, *items: dict[str, Any]) -> dict[str, Any]:
        return await self.post("/step", {**self.row, "response": response(*items)})

    async def say(self, text: str) -> dict[str, Any]:
        return await self.step(message(text))

    async def verify(self) -> dict[str, Any]:
        return await self.post("/verify", {**self.row, "response": response()})


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(name: str, arguments: str, call_id: str = "c") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def response(*items: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "created_at": 0, "model": "m", "output": list(items)}


@asynccontextmanager
async def session(kind: str, **settings: Any) -> AsyncIterator[Session]:
    async with InProcessGym() as gym:
        gym.add("env", FOLDER, **settings)
        one = Session(gym, row_of(kind))
        await one.post("/reset", one.row)
        yield one


async def test_a_change_without_identity_and_consent_breaks_both_rules() -> None:
    async with session("cancel") as one:
        reference = (await one.post("/cancel_order", {"order_id": one.order_id}))["reference"]
        await one.say(f"Your reference is {reference}.")
        verified = await one.verify()
    assert verified["violations"] == ["identity", "consent"]
    assert verified["reward_components"] == {"state": 0.4, "information": 0.3, "rules": 0.0}
    assert verified["reward"] == pytest.approx(0.7)


async def test_a_refund_after_the_window_breaks_the_rule_and_leaves_the_wrong_state() -> None:
    async with session("refund_out_of_window") as one:
        await one.post("/refund", {"order_id": one.order_id})
        verified = await one.verify()
    assert "refund_window" in verified["violations"] and verified["state_correct"] is False
    assert verified["reward"] == 0.0


async def test_a_day_that_was_only_guessed_is_no_information() -> None:
    async with session("order_status") as one:
        order = next(order for order in one.row["shop"]["orders"] if order["order_id"] == one.order_id)
        await one.say(f"It comes on {order['expected_on']}, or on another day.")
        assert (await one.verify())["reward"] == 0.0


async def test_telling_a_stranger_about_the_order_is_a_disclosure() -> None:
    async with session("wrong_identity") as one:
        told = await one.post("/look_up_order", {"order_id": one.order_id})
        await one.say(f"It cost {told['price']}.")
        assert (await one.verify())["violations"] == ["disclosure"]


async def test_tool_calls_that_come_to_a_step_are_carried_out_and_answered_there() -> None:
    async with session("cancel") as one:
        arguments = json.dumps({"order_id": one.order_id})
        calls = [call("cancel_order", arguments, "1"), call("nothing", "{}", "2"), call("refund", "{broken", "3")]
        outputs = {entry["call_id"]: entry["output"] for entry in (await one.step(*calls))["info"]["tool_outputs"]}
        assert json.loads(outputs["1"])["status"] == "cancelled"
        assert all("error" in json.loads(outputs[call_id]) for call_id in ("2", "3"))
        assert (await one.verify())["state_correct"] is True


async def test_tools_that_were_called_by_their_routes_are_not_carried_out_again_by_verify() -> None:
    row = row_of("wrong_identity")
    arguments = {"order_id": row["user"]["facts"]["order number"], "reason": "identity"}
    async with InProcessGym() as gym:
        gym.add("env", FOLDER)
        one = Session(gym, row)
        await one.post("/seed_session", row)
        told = await one.post("/escalate", arguments)
        output = {"type": "function_call_output", "call_id": "c", "output": json.dumps(told)}
        items = (
            call("escalate", json.dumps(arguments)),
            output,
            message(f"A colleague will help: {told['reference']}."),
        )
        verified = await one.post("/verify", {**row, "response": response(*items)})
    assert (verified["state_correct"], verified["reward"]) == (True, 1.0)


async def test_a_conversation_without_end_is_truncated() -> None:
    async with session("cancel", max_turns=2) as one:
        assert (await one.say("Hello!"))["truncated"] is False
        assert (await one.say("Hello!"))["truncated"] is True


@pytest.mark.parametrize(
    ("part", "wrong", "place"),
    [
        ("shop", {"today": "someday", "orders": []}, "shop.today"),
        ("user", {"goal": "x"}, "user.persona"),
        ("expected", {"changes": {"W00000": {"status": "refunded"}}}, "W00000"),
        ("expected", {"changes": {"ORDER": {"status": "lost"}}}, "status"),
        ("expected", {"say": []}, "expected.say"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused_with_its_place(part: str, wrong: dict[str, Any], place: str) -> None:
    row = row_of("cancel")
    wrong = json.loads(json.dumps(wrong).replace("ORDER", row["user"]["facts"]["order number"]))
    async with InProcessGym() as gym:
        gym.add("env", FOLDER)
        answer = await gym.client.post("env", "/reset", {**row, part: wrong})
    assert answer.status == 422 and place in answer.text


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"user": "model"}, "simulated_user"),
        ({"weights": {"state": 1.0}}, "sum to 1"),
        ({"simulated_user": {"user_model_server": {"name": "u"}, "instructions": "{who}"}}, "who"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        InProcessGym().add("env", FOLDER, **settings)


def test_rows_are_distinct_and_their_expectations_can_be_met() -> None:
    rows = list(make_rows(make_row, num_rows=300, seed=1))
    assert len({json.dumps(row["responses_create_params"]["input"]) for row in rows}) == 300
    for row in rows:
        orders = {order["order_id"]: order for order in row["shop"]["orders"]}
        facts = row["user"]["facts"]
        order = orders[facts["order number"]]
        assert (order["email"] == facts["e-mail address"]) is (row["kind"] != "wrong_identity")
        assert row["expected"].keys() - {"information"} or row["kind"] in ("order_status", "refund_out_of_window")
        assert row["expected"]["information"]
