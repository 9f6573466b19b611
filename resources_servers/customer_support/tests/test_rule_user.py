"""The scripted customer: what it understands, and that it does not go on for ever."""

from __future__ import annotations

import pytest

from resources_servers.customer_support.rule_user import PATIENCE, RuleUser

FACTS = {"order number": "W10000", "e-mail address": "ana@mail.example", "new address": "1 Mill Lane, Ely"}
NUMBER, EMAIL, ADDRESS = (f"My {name} is {value}." for name, value in FACTS.items())
YES = "Yes, please go ahead."


def user(*insists: str, facts: dict[str, str] | None = None) -> RuleUser:
    return RuleUser("I want a refund.", FACTS if facts is None else facts, insists)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Could you give me your order number?", NUMBER),
        ("What is the order ID?", NUMBER),
        ("Your Order #, please.", NUMBER),
        ("May I have your email?", EMAIL),
        ("To proceed, please provide your order number and the e-mail address.", f"{NUMBER} {EMAIL}"),
        ("Please confirm your order number.\nAnd your email address.", NUMBER),
        ("Where should it go? Please tell me the new address.", ADDRESS),
        ("I have your email ana@mail.example. What is the order number?", NUMBER),
        ("I can refund order number W10000. Shall I go ahead?", YES),
        ("Shall I change the address to 1 Mill Lane, Ely?", YES),
        ("Would you like me to cancel it?", YES),
        ("I\u2019ll refund $42.50 now.", YES),
        ("Is that correct?", YES),
        ("One moment.", "I will wait."),
        (
            "Could you please provide:\n\n1. Your **order number**\n2. Your email address",
            f"{NUMBER} {EMAIL}",
        ),
        ("Just to confirm, a refund for order #W10000. Is that correct? Please reply yes.", YES),
        ("Please confirm that I should send it to:\n1 Mill Lane\nEly as the new address.", YES),
        ("It came on 2026-05-04, within the 30 days. Let me check the price.", "I will wait."),
        ("Hello!", "As I wrote: I want a refund."),
        ("", "As I wrote: I want a refund."),
    ],
)
def test_the_customer_understands_questions_and_proposals(said: str, answer: str) -> None:
    reply = user().answer(said)
    assert (reply.text, reply.done) == (answer, False)


@pytest.mark.parametrize(
    "said",
    [
        "You get $42.50 back, reference R-0A1B2C3D. Is there anything else I can help you with?",
        "I am sorry, this cannot be refunded.",
        "Done, see R-0A1B2C3D. Please check your email for a confirmation.",
        "Your order came on 2026-04-01; the last day was 2026-05-01. Let me know if you need anything else.",
        "It should be with you by 2026-05-04. Can I help you with anything else?",
        "It is expected on 2026-05-04.",
    ],
)
def test_an_outcome_ends_the_conversation(said: str) -> None:
    assert user().answer(said).done


def test_a_customer_who_insists_does_so_before_it_takes_the_outcome() -> None:
    customer = user("Can you not make an exception?")
    first, second = customer.answer("It cannot be refunded."), customer.answer("No, it cannot.")
    assert (first.text, first.done, second.done) == ("Can you not make an exception?", False, True)


def test_a_customer_says_so_where_it_does_not_know() -> None:
    assert user(facts={}).answer("What is your email?").text == "I have no e-mail address to tell you."


@pytest.mark.parametrize("said", ["", "Hello!", "What is your order number?", "Shall I go ahead?", "One moment."])
def test_a_customer_who_gets_nowhere_leaves(said: str) -> None:
    customer = user()
    replies = [customer.answer(said) for _ in range(PATIENCE + 2)]
    assert replies[-1].done or replies[-2].done


def test_no_message_makes_the_customer_slow() -> None:
    for said in ("please address e-mail order number " * 50_000, "?" * 1_000_000, ". " * 500_000, "\n" * 1_000_000):
        user().answer(said)
