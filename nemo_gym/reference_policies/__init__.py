"""Reference policies: scripted stand-ins for a model, which an environment ships to show and test what it rewards.

An environment's `policies.py` defines functions of one `PolicyTurn` and ends with
`POLICIES = {"oracle": ..., "random": ..., "malformed": ...}`. `PolicyPlayer` finds the task row that a request belongs
to and plays a policy, or a mixture of them, over all model calls of a rollout.
"""

from nemo_gym.reference_policies.items import Item, items_of, split_model_calls
from nemo_gym.reference_policies.loading import load_policies, load_policy
from nemo_gym.reference_policies.player import PolicyPlayer, RecentlyUsed, calls_since_row
from nemo_gym.reference_policies.row_index import RowIndex, row_digest
from nemo_gym.reference_policies.turn import (
    Policy,
    PolicyTurn,
    function_call,
    message,
    reasoning,
    tool_outputs,
)

__all__ = [
    "Item",
    "Policy",
    "PolicyPlayer",
    "PolicyTurn",
    "RecentlyUsed",
    "RowIndex",
    "calls_since_row",
    "function_call",
    "items_of",
    "load_policies",
    "load_policy",
    "message",
    "reasoning",
    "row_digest",
    "split_model_calls",
    "tool_outputs",
]
