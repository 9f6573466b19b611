"""The scripted customer as a policy of scripted_model, which can so play the simulated user without a model.

It finds what it knows in its instructions, as a model does, and plays the conversation so far to `RuleUser`.
"""

from __future__ import annotations

import re

from nemo_gym.environments.users import UserReply
from nemo_gym.reference_policies import PolicyTurn
from nemo_gym.reference_policies.items import text_of
from resources_servers.customer_support.rule_user import EMAIL, NEW_ADDRESS, ORDER_NUMBER, RuleUser

STOP_SIGNAL = "###STOP###"
_FACT = re.compile(rf"^- ({ORDER_NUMBER}|{EMAIL}|{NEW_ADDRESS}): (.*)$", re.MULTILINE)


def customer(turn: PolicyTurn) -> str:
    """The customer's next message; with the stop signal where it is the last one."""
    instructions, _greeting, opening, *dialogue = (text_of(item["content"]) for item in turn.input)
    user = RuleUser(opening, dict(_FACT.findall(instructions)))
    reply = UserReply(opening)
    for heard in dialogue[::2]:
        reply = user.answer(heard)
    return f"{reply.text or ''} {STOP_SIGNAL}" if reply.done else reply.text or ""


POLICIES = {"customer": customer}
