"""Reference policies for customer_support: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import datetime
import json
from typing import Any

from nemo_gym.reference_policies import Item, PolicyTurn, function_call, reasoning, tool_outputs

ASK = "Please tell me your order number and the e-mail address of the order."
ACTIONS = ("refund", "cancel_order", "change_address", "escalate", "tell_last_refund_day", "tell_arrival")
_ACTION_OF_KIND = {
    "refund_in_window": "refund",
    "refund_out_of_window": "tell_last_refund_day",
    "change_address": "change_address",
    "wrong_identity": "escalate",
    "order_status": "tell_arrival",
    "cancel": "cancel_order",
}


def oracle(turn: PolicyTurn) -> str | list[Item]:
    """Asks who writes, checks, looks the order up, proposes, waits for a yes, acts, and tells what came of it."""
    row = _row(turn)
    action = _ACTION_OF_KIND[row["kind"]]
    plan: list[str | list[Item]] = [ASK, [_check(row)]]
    if action == "escalate":
        plan += [[_call(action, row)], _tell(turn, action)]
    elif action.startswith("tell"):
        plan += [[_look_up(row)], _tell(turn, action), "I am sorry, I cannot make an exception."]
    else:
        if action == "change_address":
            plan.append("What is the new address?")
        proposal = f"I am going to do this: {action.replace('_', ' ')}, order {_order_id(row)}. Shall I go ahead?"
        plan += [[_look_up(row)], proposal, [_call(action, row)], _tell(turn, action)]
    return plan[min(turn.step, len(plan) - 1)]


def guess(turn: PolicyTurn) -> str | list[Item]:
    """Asks and checks, then does one of the six things that one can do, without waiting for a yes."""
    row = _row(turn)
    if turn.step < 3:
        beginning: list[str | list[Item]] = [ASK, [_check(row)], [_look_up(row)]]
        return beginning[turn.step]
    if turn.step > 3:
        return _tell(turn, "what was done")
    action = turn.rng.choice(ACTIONS)
    return _tell(turn, action) if action.startswith("tell") else [_call(action, row)]


def malformed(turn: PolicyTurn) -> str | list[Item]:
    """Garbage: no text, huge texts, tools that do not exist, arguments that are broken or of the wrong type."""
    answers = (
        "",
        "?" * 20_000,
        "please address e-mail order number " * 2_000,
        "###STOP###",
        "\u0000\ud83d",
        [reasoning("Whose order?")],
        [function_call("verify", {"reward": 1.0})],
        [function_call("step", {})],
        [function_call("refund", "{broken")],
        [function_call("refund", '["W12345"]')],
        [function_call("refund", {"order_id": ["W12345"]})],
        [function_call("refund", {"order_id": "W1" * 10_000})],
        [function_call("look_up_order", {"order_id": "\u0000"})],
        [function_call("escalate", {"order_id": "W00000", "reason": "because"})],
        [function_call("check_identity", {"order_id": "W00000", "email": None}), function_call("nothing", {})],
    )
    return turn.rng.choice(answers)


def _row(turn: PolicyTurn) -> dict[str, Any]:
    assert turn.row is not None, "this policy plays prepared rows only"
    return turn.row


def _order_id(row: dict[str, Any]) -> str:
    order_id: str = row["user"]["facts"]["order number"]
    return order_id


def _check(row: dict[str, Any]) -> Item:
    facts = row["user"]["facts"]
    return function_call("check_identity", {"order_id": facts["order number"], "email": facts["e-mail address"]})


def _look_up(row: dict[str, Any]) -> Item:
    return function_call("look_up_order", {"order_id": _order_id(row)})


def _call(action: str, row: dict[str, Any]) -> Item:
    arguments = {"order_id": _order_id(row)}
    if action == "change_address":
        arguments["address"] = row["user"]["facts"].get("new address", "1 Nowhere Road, Ely")
    if action == "escalate":
        arguments["reason"] = "identity"
    return function_call(action, arguments)


def _tell(turn: PolicyTurn, action: str) -> str:
    """What the last tool answered, in words."""
    outputs = tool_outputs(turn)
    found = json.loads(outputs[-1]) if outputs else {}
    if action == "tell_last_refund_day":
        if "delivered_on" not in found:
            return "This order cannot be refunded."
        last = datetime.date.fromisoformat(found["delivered_on"]) + datetime.timedelta(days=30)
        return f"I am sorry: this order could be refunded until {last.isoformat()}, and no longer."
    if action == "tell_arrival":
        return f"Your order is expected on {found.get('expected_on', 'no day that I know of')}."
    refunded = f" You get {found['refunded']} back." if "refunded" in found else ""
    return f"That is done.{refunded} The reference is {found.get('reference', 'not known')}; no longer anything to do."


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
