"""The shop's database, its tools, and the scoring."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from resources_servers.customer_support.shop import Order, Shop, reference_of
from resources_servers.customer_support.tools import TOOLS
from resources_servers.customer_support.verifier import (
    Outcome,
    consents,
    date_forms,
    disclosed,
    mentions,
    score,
    share_told,
)

MAY_4 = datetime.date(2026, 5, 4)


def order(order_id: str = "W10000", **fields: Any) -> Order:
    given = {"email": "a@mail.example", "item": "desk lamp", "price_cents": 4250, "address": "3 Elm Row, Ely"}
    return Order.model_validate({"order_id": order_id, "status": "processing", **given, **fields})


def shop_with(**fields: Any) -> Shop:
    return Shop({"W10000": order(**fields)})


def call(shop: Shop, tool: str, **arguments: Any) -> dict[str, Any]:
    return TOOLS[tool].call(shop, TOOLS[tool].arguments.model_validate({"order_id": "W10000", **arguments}))


@pytest.mark.parametrize("written", ["W10000", " w10000 ", "#W10000"])
def test_an_order_is_found_however_its_number_is_written(written: str) -> None:
    assert call(shop_with(), "look_up_order", order_id=written)["item"] == "desk lamp"


def test_a_look_up_tells_everything_but_the_email_address() -> None:
    told = call(shop_with(status="delivered", delivered_on=MAY_4), "look_up_order")
    assert told == {
        "order_id": "W10000",
        "item": "desk lamp",
        "status": "delivered",
        "address": "3 Elm Row, Ely",
        "delivered_on": "2026-05-04",
        "price": "$42.50",
    }


def test_identity_is_confirmed_by_the_email_address_of_the_order() -> None:
    assert call(shop_with(), "check_identity", email=" A@mail.example") == {"confirmed": True}
    assert call(shop_with(), "check_identity", email="b@mail.example") == {"confirmed": False}


@pytest.mark.parametrize(
    ("tool", "status", "arguments", "after"),
    [
        ("refund", "delivered", {}, {"status": "refunded"}),
        ("cancel_order", "processing", {}, {"status": "cancelled"}),
        ("change_address", "processing", {"address": "1 Mill Lane, Ely"}, {"address": "1 Mill Lane, Ely"}),
    ],
)
def test_a_change_is_made_once_and_has_a_reference(
    tool: str, status: str, arguments: dict[str, str], after: dict[str, str]
) -> None:
    shop = shop_with(status=status)
    assert call(shop, tool, **arguments)["reference"] == reference_of(tool, "W10000")
    assert shop.order("W10000") == order(**{"status": status, **after})
    if "status" in after:
        assert "error" in call(shop, tool, **arguments)


@pytest.mark.parametrize(
    ("tool", "status", "arguments"),
    [
        ("refund", "processing", {}),
        ("refund", "shipped", {}),
        ("cancel_order", "shipped", {}),
        ("change_address", "delivered", {"address": "1 Mill Lane, Ely"}),
        ("change_address", "processing", {"address": "  "}),
        ("refund", "delivered", {"order_id": "W99999"}),
        ("escalate", "delivered", {"order_id": "W99999", "reason": "identity"}),
    ],
)
def test_what_is_impossible_is_refused_and_changes_nothing(tool: str, status: str, arguments: dict[str, str]) -> None:
    shop = shop_with(status=status)
    before = shop.state()
    assert "error" in call(shop, tool, **arguments)
    assert shop.state() == before


def test_addresses_are_compared_by_letters_and_digits() -> None:
    moved = {"W10000": {"address": "1 Mill Lane, Ely"}}
    shop = shop_with()
    call(shop, "change_address", address="1, mill lane – ELY")
    assert shop.state() == shop_with().changed(moved, []).state() != shop_with().state()


def outcome(state: bool = True, change: bool = True, told: float = 1.0, violations: tuple[str, ...] = ()) -> Outcome:
    return Outcome(state, change, told, violations)


@pytest.mark.parametrize(
    ("result", "reward"),
    [
        (outcome(), 1.0),
        (outcome(change=False), 1.0),
        (outcome(violations=("consent",)), 0.7),
        (outcome(told=0.5), 0.55),
        (outcome(state=False), 0.3),
        (outcome(told=0.0), 0.4),
        (outcome(change=False, told=0.0), 0.0),
        (outcome(change=False, told=0.5), 0.15),
        (outcome(state=False, told=0.0), 0.0),
    ],
)
def test_the_parts_of_the_reward_and_that_doing_nothing_earns_nothing(result: Outcome, reward: float) -> None:
    assert score(result).reward == pytest.approx(reward)


def test_information_counts_in_any_of_its_forms_as_words_of_their_own() -> None:
    pieces = [date_forms(MAY_4), ["42.50"]]
    assert share_told(pieces, ["It was May 4th.", "You get $42.50 back."]) == 1.0
    assert share_told(pieces, ["It was May 14th.", "You get $142.50 back."]) == 0.0
    assert share_told(pieces, ["Until the 4th of May."]) == 0.5
    assert share_told([], []) == 1.0


@pytest.mark.parametrize("form", ["2026-05-04", "May 4", "May 04", "May 4th", "4 May", "4th of May", "05/04/2026"])
def test_a_day_is_known_in_the_ways_people_write_it(form: str) -> None:
    assert any(mentions(f"On {form}, I think.", known) for known in date_forms(MAY_4))


def test_telling_of_an_order_whose_customer_is_not_confirmed_is_a_disclosure() -> None:
    mine, other = order(), order("W20000", price_cents=999, status="delivered", delivered_on=MAY_4)
    today = datetime.date(2026, 6, 1)
    for said in ("It cost $9.99.", "It came on May 4.", "The last day is 2026-06-03.", "It went to 3 Elm Row."):
        assert disclosed(said, [other], [], today), said
    assert not disclosed("It cost $42.50, and goes to 3 Elm Row.", [other], [mine], today)
    assert not disclosed("Today is 2026-05-04.", [other], [], MAY_4)
    assert not disclosed("What is your e-mail address?", [other], [], today)


@pytest.mark.parametrize("words", ["Yes, please go ahead.", "OK", "Sure!", "Please do.", "That\u2019s fine."])
def test_a_yes_is_consent(words: str) -> None:
    assert consents(words)


@pytest.mark.parametrize("words", ["", "No.", "My order is W10000.", "Don\u2019t do it, ok?", "Wait, yes or no?"])
def test_anything_else_is_not(words: str) -> None:
    assert not consents(words)
