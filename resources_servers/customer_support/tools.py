"""The policy's tools: what arguments they take, what they do in the shop, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources_servers.customer_support.shop import Refused, Shop, reference_of

Output = dict[str, Any]
"""A tool's answer, plain JSON; `error` in it says why nothing was done."""


class OrderArguments(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    order_id: str = Field(max_length=100, description="The order's number, for example W12345.")


class IdentityArguments(OrderArguments):
    email: str = Field(max_length=320, description="The e-mail address that the customer gives.")


class AddressArguments(OrderArguments):
    address: str = Field(max_length=500, description="The whole new address.")


class EscalateArguments(OrderArguments):
    reason: Literal["identity", "other"] = Field(description="Why a colleague is needed.")


@dataclass(frozen=True)
class Tool:
    """One tool. Its route is `POST /<name>`."""

    name: str
    description: str
    arguments: type[OrderArguments]
    run: Callable[[Shop, Any], Output]
    """Raises `Refused`."""
    changes_order: bool = False
    """Whether the shop's rules ask for a confirmed customer and for consent before it."""

    def call(self, shop: Shop, arguments: OrderArguments) -> Output:
        try:
            return self.run(shop, arguments)
        except Refused as error:
            return {"error": str(error)}

    def declaration(self) -> dict[str, Any]:
        """The tool as a task row declares it."""
        properties = {
            name: {key: value for key, value in schema.items() if key in ("type", "enum", "description")}
            for name, schema in self.arguments.model_json_schema()["properties"].items()
        }
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": parameters,
            "strict": True,
        }


def _check_identity(shop: Shop, arguments: IdentityArguments) -> Output:
    return {"confirmed": shop.is_email_of(arguments.order_id, arguments.email)}


def _look_up_order(shop: Shop, arguments: OrderArguments) -> Output:
    order = shop.order(arguments.order_id)
    told = order.model_dump(mode="json", exclude={"email", "price_cents"}, exclude_none=True)
    return told | {"price": order.price}


def _refund(shop: Shop, arguments: OrderArguments) -> Output:
    order = shop.refund(arguments.order_id)
    return {"refunded": order.price, "reference": reference_of("refund", order.order_id)}


def _cancel_order(shop: Shop, arguments: OrderArguments) -> Output:
    order = shop.cancel(arguments.order_id)
    return {"status": order.status, "reference": reference_of("cancel_order", order.order_id)}


def _change_address(shop: Shop, arguments: AddressArguments) -> Output:
    order = shop.change_address(arguments.order_id, arguments.address)
    return {"address": order.address, "reference": reference_of("change_address", order.order_id)}


def _escalate(shop: Shop, arguments: EscalateArguments) -> Output:
    order = shop.escalate(arguments.order_id, arguments.reason)
    return {"reference": reference_of("escalate", order.order_id)}


_ALL = (
    Tool(
        "check_identity",
        "Whether an e-mail address is that of an order's customer.",
        IdentityArguments,
        _check_identity,
    ),
    Tool("look_up_order", "An order's item, price, status, address and days.", OrderArguments, _look_up_order),
    Tool("refund", "Pays an order's whole price back.", OrderArguments, _refund, changes_order=True),
    Tool("cancel_order", "Cancels an order.", OrderArguments, _cancel_order, changes_order=True),
    Tool(
        "change_address",
        "Changes where an order is delivered to.",
        AddressArguments,
        _change_address,
        changes_order=True,
    ),
    Tool("escalate", "Hands the case to a colleague.", EscalateArguments, _escalate),
)
TOOLS = {tool.name: tool for tool in _ALL}
