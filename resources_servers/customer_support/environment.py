"""One conversation with a customer: tools change the shop, the user answers messages, what counts is noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from pydantic import ValidationError

from nemo_gym.environments import Environment, StepResult
from nemo_gym.environments.users import User, heard_by_user
from nemo_gym.schemas.responses import FunctionCall, Response
from nemo_gym.schemas.validation import explain
from nemo_gym.scoring.weighted_reward import WeightedReward
from resources_servers.customer_support.shop import Shop
from resources_servers.customer_support.tools import TOOLS, OrderArguments, Output
from resources_servers.customer_support.verifier import Outcome, consents, disclosed, score, share_told


@dataclass(frozen=True)
class Case:
    """What is fixed about an episode."""

    today: date
    expected: Shop
    """The shop as it should be in the end."""
    information: Sequence[Sequence[str]]
    """What the customer needs to be told: of each piece, the forms that count."""
    tools: frozenset[str]
    """Names of the tools that the row declares."""
    max_turns: int
    weights: Mapping[str, float]
    per_turn_rewards: bool


class SupportEpisode(Environment):
    """The agent calls the tools by their routes and sends messages to `step()`. Tool calls that come to `step()`, from
    other agents or a stored rollout, are carried out there.
    """

    def __init__(self, case: Case, shop: Shop, user: User, opening: str) -> None:
        self.case, self.shop, self.user = case, shop, user
        self.turns = 0
        self.informed: list[str] = []
        """What the policy said with knowledge of the shop: before it has looked anything up or done anything, it can
        only guess."""
        self.violations: list[str] = []
        self._change_expected = shop.state() != case.expected.state()
        self._users_words = opening
        self._confirmed: set[str] = set()
        self._looked_up: set[str] = set()
        self._knows = False
        self._called_by_route = False
        self._user_usage: dict[str, int] = {}

    def call_by_route(self, name: str, arguments: OrderArguments) -> Output:
        """What the tool's route answers."""
        self._called_by_route = True
        return self._call(name, arguments)

    async def step(self, response: Response) -> StepResult:
        calls = response.function_calls
        if calls:
            # Carried out once: where the routes were called, these are the same calls, seen again.
            outputs = {} if self._called_by_route else {call.call_id: self._carry_out(call) for call in calls}
            return StepResult(tool_outputs=outputs, reward=self._earned())
        said = heard_by_user(response)
        self._note_disclosure(said)
        self.turns += 1
        if self._knows:
            self.informed.append(said)
        if self.turns >= self.case.max_turns:
            return StepResult(reward=self._earned(), truncated=True)
        reply = await self.user.reply(said)
        self._users_words = reply.text or ""
        for key, count in reply.usage.items():
            self._user_usage[key] = self._user_usage.get(key, 0) + count
        return reply.step_result(self._earned())

    async def final_reward(self) -> float:
        return self._score().reward

    def report(self) -> dict[str, Any]:
        outcome = self._outcome()
        spent = {"user_usage": self._user_usage} if self._user_usage else {}
        return {
            "reward_components": self._score().components,
            "state_correct": outcome.state_correct,
            "information_told": outcome.information,
            "violations": list(outcome.violations),
            **spent,
        }

    def _outcome(self) -> Outcome:
        return Outcome(
            state_correct=self.shop.state() == self.case.expected.state(),
            change_expected=self._change_expected,
            information=share_told(self.case.information, self.informed),
            violations=tuple(dict.fromkeys(self.violations)),
        )

    def _score(self) -> WeightedReward:
        return score(self._outcome(), self.case.weights)

    def _earned(self) -> float:
        """The reward of this turn: by how much the score has grown, if turns are to be rewarded."""
        return self._score().reward - sum(self.turn_rewards) if self.case.per_turn_rewards else 0.0

    def _carry_out(self, call: FunctionCall) -> str:
        if call.name not in self.case.tools or call.name not in TOOLS:
            return _error("there is no such tool")
        try:
            arguments = TOOLS[call.name].arguments.model_validate_json(call.arguments or "{}")
        except ValidationError as error:
            return _error("; ".join(explain(error)[:3]))
        return orjson.dumps(self._call(call.name, arguments)).decode()

    def _call(self, name: str, arguments: OrderArguments) -> Output:
        output = TOOLS[name].call(self.shop, arguments)
        if "error" not in output:
            self._note_call(name, arguments.order_id, output)
        return output

    def _note_call(self, name: str, order_id: str, output: Output) -> None:
        order = self.shop.order(order_id)
        self._knows = self._knows or name != "check_identity"
        if name == "check_identity" and output["confirmed"]:
            self._confirmed.add(order.order_id)
        if name == "look_up_order":
            self._looked_up.add(order.order_id)
        if not TOOLS[name].changes_order:
            return
        if order.order_id not in self._confirmed:
            self.violations.append("identity")
        if not consents(self._users_words):
            self.violations.append("consent")
        if name == "refund" and order.last_refund_day is not None and order.last_refund_day < self.case.today:
            self.violations.append("refund_window")

    def _note_disclosure(self, said: str) -> None:
        unconfirmed = [self.shop.order(order_id) for order_id in self._looked_up - self._confirmed]
        if disclosed(said, unconfirmed, [self.shop.order(one) for one in self._confirmed], self.case.today):
            self.violations.append("disclosure")


def _error(message: str) -> str:
    return orjson.dumps({"error": message}).decode()
