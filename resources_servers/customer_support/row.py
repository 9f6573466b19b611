"""A task row: the shop, the customer, and what should come of the conversation."""

from __future__ import annotations

from datetime import date
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nemo_gym.base_resources_server import BaseRunRequest
from nemo_gym.environments.users import UserProfile
from nemo_gym.reference_policies.items import text_of
from resources_servers.customer_support.shop import Escalation, Order


class CustomerProfile(UserProfile):
    insists: list[str] = Field(default_factory=list)
    """What the scripted customer says to an outcome before it takes it."""


class ShopData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    today: date
    orders: list[Order]


class Expected(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    changes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields of orders that should differ in the end, by order number."""
    escalations: list[Escalation] = Field(default_factory=list)
    information: list[list[str]] = Field(default_factory=list)
    """What the customer needs to be told: of each piece, the forms that count."""


class CustomerSupportRow(BaseRunRequest):
    shop: ShopData
    user: CustomerProfile
    expected: Expected

    @model_validator(mode="after")
    def _expected_orders_exist(self) -> Self:
        orders = {order.order_id: order for order in self.shop.orders}
        for order_id, changes in self.expected.changes.items():
            if order_id not in orders:
                raise ValueError(f"expected.changes: there is no order {order_id}")
            Order.model_validate(orders[order_id].model_dump() | changes)
        return self

    @property
    def opening(self) -> str:
        """What the user says first: the last message of the row's input."""
        items = self.responses_create_params.input
        return items if isinstance(items, str) else text_of(items[-1].model_dump().get("content")) if items else ""
