"""customer_support: a customer and a shop's tools; the reward says whether the matter was settled as the rules ask."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nemo_gym.base_resources_server import ReverifyMode
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from nemo_gym.environments.users import SimulatedUser, SimulatedUserConfig, User
from resources_servers.customer_support.environment import Case, SupportEpisode
from resources_servers.customer_support.row import CustomerSupportRow
from resources_servers.customer_support.rule_user import RuleUser
from resources_servers.customer_support.shop import Shop
from resources_servers.customer_support.tools import (
    AddressArguments,
    EscalateArguments,
    IdentityArguments,
    OrderArguments,
    Output,
)
from resources_servers.customer_support.verifier import WEIGHTS

DEFAULT_MAX_TURNS = 12


class Weights(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    state: float = Field(default=WEIGHTS["state"], ge=0)
    information: float = Field(default=WEIGHTS["information"], ge=0)
    rules: float = Field(default=WEIGHTS["rules"], ge=0)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.state + self.information + self.rules, 1.0):
            raise ValueError("the weights must sum to 1")
        return self


class CustomerSupportConfig(EnvironmentConfig):
    user: Literal["scripted", "model"] = "scripted"
    """Who plays the customer: rules, which need no model, or the model server of `simulated_user`."""
    simulated_user: SimulatedUserConfig | None = None
    weights: Weights = Weights()
    """Of the reward's components."""
    per_turn_rewards: bool = False
    """Whether each turn earns by how much it raised the score; else the reward comes at the end alone."""

    @model_validator(mode="after")
    def _a_model_plays_only_where_it_is_named(self) -> Self:
        if self.user == "model" and self.simulated_user is None:
            raise ValueError("`user: model` needs `simulated_user`, which names the model server")
        return self


class CustomerSupportServer(EnvironmentServer):
    config: CustomerSupportConfig

    replays_tool_calls: ClassVar[bool] = True

    async def make_environment(self, row: CustomerSupportRow) -> SupportEpisode:
        shop = Shop({order.order_id: order for order in row.shop.orders})
        case = Case(
            today=row.shop.today,
            expected=shop.changed(row.expected.changes, row.expected.escalations),
            information=row.expected.information,
            tools=frozenset(tool.name for tool in row.responses_create_params.tools if tool.name),
            max_turns=self.max_turns(row, DEFAULT_MAX_TURNS),
            weights=self.config.weights.model_dump(),
            per_turn_rewards=self.config.per_turn_rewards,
        )
        return SupportEpisode(case, shop, self._user(row), row.opening)

    def _user(self, row: CustomerSupportRow) -> User:
        if self.config.user == "model" and self.config.simulated_user is not None:
            return SimulatedUser(self.server_client, self.config.simulated_user, row.user, opening=row.opening)
        return RuleUser(row.opening, row.user.facts, row.user.insists)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        for tool in (
            self.check_identity,
            self.look_up_order,
            self.refund,
            self.cancel_order,
            self.change_address,
            self.escalate,
        ):
            app.post(f"/{tool.__name__}")(tool)
        return app

    async def check_identity(self, request: Request, body: IdentityArguments) -> Output:
        """Whether an e-mail address is that of an order's customer."""
        return self._call(request, "check_identity", body)

    async def look_up_order(self, request: Request, body: OrderArguments) -> Output:
        """An order's item, price, status, address and days."""
        return self._call(request, "look_up_order", body)

    async def refund(self, request: Request, body: OrderArguments) -> Output:
        """Pays an order's whole price back."""
        return self._call(request, "refund", body)

    async def cancel_order(self, request: Request, body: OrderArguments) -> Output:
        """Cancels an order."""
        return self._call(request, "cancel_order", body)

    async def change_address(self, request: Request, body: AddressArguments) -> Output:
        """Changes where an order is delivered to."""
        return self._call(request, "change_address", body)

    async def escalate(self, request: Request, body: EscalateArguments) -> Output:
        """Hands the case to a colleague."""
        return self._call(request, "escalate", body)

    def _call(self, request: Request, name: str, arguments: OrderArguments) -> Output:
        episode = self.environment_of(request)
        assert isinstance(episode, SupportEpisode)
        return episode.call_by_route(name, arguments)

    async def _reverify_mode(self) -> str:
        # What a model answered as the user cannot be had again.
        return (ReverifyMode.STATELESS if self.config.user == "scripted" else ReverifyMode.UNSUPPORTED).value


if __name__ == "__main__":
    CustomerSupportServer.run_webserver()
