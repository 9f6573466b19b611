"""Writes seeded cases of six kinds: what a customer wants, what the shop knows, and what should come of it.

python resources_servers/customer_support/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare
from resources_servers.customer_support.rule_user import EMAIL, NEW_ADDRESS, ORDER_NUMBER
from resources_servers.customer_support.shop import REFUND_WINDOW, Order, Status, reference_of
from resources_servers.customer_support.tools import TOOLS
from resources_servers.customer_support.verifier import date_forms

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

SYSTEM_PROMPT = """\
You answer the customers of a shop. Today is {today}. This is conversation {number}.

- Before you say anything about an order or change it, make sure that the customer is who ordered: ask for the order \
number and the e-mail address of the order, and check them with check_identity.
- If they do not belong together, say nothing about the order and change nothing: hand the case to a colleague with \
escalate (reason `identity`). Escalate nothing else.
- A delivered order can be refunded up to {window} days after its delivery, that day included. Later than that there \
are no exceptions: tell the customer which day was the last one.
- An order that is still `processing` can be cancelled, and its address can be changed. No other can.
- Before a refund, a cancellation or a change of address, say what you are going to do and wait for a yes.
- Tell the customer the reference of whatever you did, and the amount of a refund. To the question when an order \
comes, tell the day. Write days as YYYY-MM-DD.
- One matter at a time; write to the customer only when you need something or are done."""

NAMES = ("Amara Diallo", "Bo Lindqvist", "Chiara Greco", "Dev Patel", "Elif Kaya", "Femi Adeyemi", "Grete Holm")
NAMES += ("Hana Sato", "Ivo Petrov", "Joana Alves", "Kofi Mensah", "Lucia Romero", "Mei Chen", "Nils Berger")
STREETS = (
    "Alder Road",
    "Bridge Street",
    "Castle Hill",
    "Dock Lane",
    "Elm Row",
    "Ferry Quay",
    "Garden Walk",
    "Mill Lane",
)
TOWNS = ("Ashford", "Barrow", "Crewe", "Durham", "Ely", "Frome", "Grantham", "Hexham")
ITEMS = ("alarm clock", "bicycle pump", "chess set", "desk lamp", "electric kettle", "fountain pen", "garden hose")
ITEMS += ("hand mixer", "iron skillet", "jigsaw puzzle", "kitchen scale", "lunch box", "picture frame", "yoga mat")
PERSONAS = (
    "friendly and brief",
    "in a hurry",
    "polite and a little formal",
    "annoyed, but not rude",
    "not used to chats",
)


@dataclass(frozen=True)
class Kind:
    """One kind of case."""

    status: Status
    """Of the order that the case is about."""
    openings: tuple[str, ...]
    expect: Callable[[Order, str], dict[str, Any]]
    """`expected` of the row, from the order and the new address."""
    age_days: tuple[int, ...] = ()
    """Days since delivery."""
    goal: str = "{wish}"
    insists: tuple[str, ...] = ()
    own_email: bool = True


def _done(tool: str, order: Order, changes: dict[str, Any], *also: list[str]) -> dict[str, Any]:
    return {"changes": {order.order_id: changes}, "information": [[reference_of(tool, order.order_id)], *also]}


def _refunded(order: Order, _: str) -> dict[str, Any]:
    return _done("refund", order, {"status": "refunded"}, [order.price.lstrip("$")])


def _too_late(order: Order, _: str) -> dict[str, Any]:
    assert order.last_refund_day is not None
    return {"information": [date_forms(order.last_refund_day)]}


def _moved(order: Order, address: str) -> dict[str, Any]:
    return _done("change_address", order, {"address": address})


def _escalated(order: Order, _: str) -> dict[str, Any]:
    escalation = {"order_id": order.order_id, "reason": "identity"}
    return {"escalations": [escalation], "information": [[reference_of("escalate", order.order_id)]]}


def _status_told(order: Order, _: str) -> dict[str, Any]:
    assert order.expected_on is not None
    return {"information": [date_forms(order.expected_on)]}


def _cancelled(order: Order, _: str) -> dict[str, Any]:
    return _done("cancel_order", order, {"status": "cancelled"})


_REFUND_OPENINGS = (
    "Hello, I would like to send back the {item} that I bought from you and get my money back.",
    "Hi. The {item} I ordered is not what I hoped for. Can I have a refund?",
)
EXCEPTION = "Can you not make an exception for me?"
KINDS = {
    "refund_in_window": Kind("delivered", _REFUND_OPENINGS, _refunded, (1, 9, 17, 24, 29, 30)),
    "refund_out_of_window": Kind(
        "delivered",
        _REFUND_OPENINGS,
        _too_late,
        (31, 32, 38, 47, 75),
        goal="{wish} When you are refused, ask once: " + EXCEPTION,
        insists=(EXCEPTION,),
    ),
    "change_address": Kind(
        "processing",
        ("Hello, I have moved. The {item} that I ordered should go to my new address.", "My {item} must go elsewhere."),
        _moved,
    ),
    "wrong_identity": Kind(
        "delivered",
        _REFUND_OPENINGS,
        _escalated,
        (1, 9, 17, 24, 29, 30),
        goal="{wish} You ordered for a friend, and the only e-mail address that you know is your own.",
        own_email=False,
    ),
    "order_status": Kind(
        "shipped",
        ("Hi, when will my {item} come?", "I am waiting for the {item} I ordered. Where is it?"),
        _status_told,
    ),
    "cancel": Kind(
        "processing", ("Hello, please cancel my order of the {item}.", "I do not need the {item} any more."), _cancelled
    ),
}


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    name = list(KINDS)[index % len(KINDS)]
    kind = KINDS[name]
    today = datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randrange(365))
    customer, *others = rng.sample(NAMES, 4)
    items = rng.sample(ITEMS, 4)
    numbers = rng.sample(range(10_000, 100_000), 4)
    order = _order(rng, numbers[0], items[0], _email(customer), kind.status, today, kind.age_days)
    orders = [order]
    for number, item, other in zip(numbers[1:], items[1:], others, strict=True):
        status: Status = rng.choice(("processing", "shipped", "delivered"))
        orders.append(_order(rng, number, item, _email(other), status, today, (3, 12, 28, 40)))
    rng.shuffle(orders)
    address = _address(rng)
    opening = rng.choice(kind.openings).format(item=order.item)
    email = order.email if kind.own_email else f"{customer.split()[0].lower()}@friend.example"
    facts = {ORDER_NUMBER: order.order_id, EMAIL: email}
    if name == "change_address":
        facts[NEW_ADDRESS] = address
    prompt = SYSTEM_PROMPT.format(today=today.isoformat(), number=index + 1, window=REFUND_WINDOW.days)
    return {
        "id": f"support-{index}",
        "kind": name,
        "responses_create_params": {
            "input": [{"role": "system", "content": prompt}, {"role": "user", "content": opening}],
            "tools": [tool.declaration() for tool in TOOLS.values()],
            "parallel_tool_calls": False,
        },
        "shop": {
            "today": today.isoformat(),
            "orders": [one.model_dump(mode="json", exclude_none=True) for one in orders],
        },
        "user": {
            "persona": f"{customer}, {rng.choice(PERSONAS)}",
            "goal": kind.goal.format(wish=opening),
            "facts": facts,
            "insists": list(kind.insists),
        },
        "expected": kind.expect(order, address),
    }


def _order(
    rng: random.Random,
    number: int,
    item: str,
    email: str,
    status: Status,
    today: datetime.date,
    age_days: tuple[int, ...],
) -> Order:
    days = datetime.timedelta(days=rng.choice(age_days or (1,)))
    return Order(
        order_id=f"W{number}",
        email=email,
        item=item,
        price_cents=100 * rng.randrange(8, 90) + rng.choice((25, 49, 75, 95, 99)),
        status=status,
        address=_address(rng),
        expected_on=today + datetime.timedelta(days=rng.randrange(1, 9)) if status == "shipped" else None,
        delivered_on=today - days if status == "delivered" else None,
    )


def _email(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@mail.example"


def _address(rng: random.Random) -> str:
    return f"{rng.randrange(1, 120)} {rng.choice(STREETS)}, {rng.choice(TOWNS)}"


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
