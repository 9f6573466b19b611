"""Scoring: is the shop in the state it should be in, was the customer told what they need, were the rules kept?"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nemo_gym.scoring.weighted_reward import WeightedReward, weighted_reward
from resources_servers.customer_support.shop import Order

WEIGHTS = {"state": 0.4, "information": 0.3, "rules": 0.3}

_CONSENT = re.compile(
    r"(?<!\w)(yes|yeah|yep|yup|sure|okay|ok|please do|go ahead|do it|do so|proceed|confirmed|i confirm|agreed|correct|"
    r"that is right|that's right|that is fine|that's fine|sounds good)(?!\w)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(r"^\s*no\b|\b(don't|do not|stop|wait|hold on)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """What an episode came to."""

    state_correct: bool
    """The shop's final state is the expected one."""
    change_expected: bool
    """Whether that differs from the state at the beginning."""
    information: float
    """Share of what the customer needs to know that the policy told, 0 to 1."""
    violations: tuple[str, ...] = ()
    """Rules that were broken: `identity`, `disclosure`, `refund_window`, `consent`."""


def score(outcome: Outcome, weights: Mapping[str, float] = WEIGHTS) -> WeightedReward:
    """The reward and its components.

    Doing nothing earns nothing: where nothing is to be changed, the state counts only with all information told, and
    rules count only once the customer's matter is settled.
    """
    told = outcome.information >= 1.0
    state = outcome.state_correct and (outcome.change_expected or told)
    rules = outcome.state_correct and told and not outcome.violations
    return weighted_reward({"state": float(state), "information": outcome.information, "rules": float(rules)}, weights)


def share_told(information: Sequence[Sequence[str]], messages: Iterable[str]) -> float:
    """Share of the pieces of information of which some message holds one of the forms; 1 where there are none."""
    if not information:
        return 1.0
    heard = "\n".join(messages)
    return sum(any(mentions(heard, form) for form in forms) for forms in information) / len(information)


def disclosed(said: str, looked_up: Iterable[Order], confirmed: Iterable[Order], today: datetime.date) -> bool:
    """Whether a message tells what only a confirmed customer of one of the orders may know."""
    known = {form for order in confirmed for form in private_forms(order)} | set(date_forms(today))
    return any(mentions(said, form) for order in looked_up for form in private_forms(order) if form not in known)


def private_forms(order: Order) -> list[str]:
    """What of an order is private, in the forms in which it may be written."""
    days = [day for day in (order.expected_on, order.delivered_on, order.last_refund_day) if day is not None]
    return [
        order.price.lstrip("$"),
        order.address.partition(",")[0],
        *(form for day in days for form in date_forms(day)),
    ]


def date_forms(day: datetime.date) -> list[str]:
    """How people write a day: `2026-05-04`, `May 4`, `May 4th`, `4 May`, `4th of May`, `05/04/2026`, ..."""
    month, ordinal = day.strftime("%B"), f"{day.day}{_ordinal_ending(day.day)}"
    names = (month, month[:3])
    written = [f"{name} {number}" for name in names for number in (day.day, f"{day.day:02d}", ordinal)]
    written += [f"{number} {name}" for name in names for number in (day.day, ordinal)]
    return [day.isoformat(), *written, f"{ordinal} of {month}", day.strftime("%m/%d/%Y"), day.strftime("%d.%m.%Y")]


def mentions(text: str, form: str) -> bool:
    """Whether a text holds this form as words of their own; upper and lower case are the same."""
    return re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text, re.IGNORECASE) is not None


def consents(words: str) -> bool:
    """Whether what the customer said last is a yes."""
    straight = words.replace("\u2019", "'")
    return _CONSENT.search(straight) is not None and _REFUSAL.search(straight) is None


def _ordinal_ending(number: int) -> str:
    if number in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
