"""The shop: orders in memory, and what its tools do to them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

REFUND_WINDOW = datetime.timedelta(days=30)
"""After delivery; the last day counts."""

Status = Literal["processing", "shipped", "delivered", "cancelled", "refunded"]


class Order(BaseModel):
    """One order, as a task row holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order_id: str
    email: str
    """By which the customer is known; no tool tells it."""
    item: str
    price_cents: int = Field(ge=0)
    status: Status
    address: str
    expected_on: datetime.date | None = None
    """When it arrives, once it is shipped."""
    delivered_on: datetime.date | None = None

    @property
    def price(self) -> str:
        return f"${self.price_cents / 100:.2f}"

    @property
    def last_refund_day(self) -> datetime.date | None:
        return None if self.delivered_on is None else self.delivered_on + REFUND_WINDOW


class Escalation(BaseModel):
    """A case handed to a colleague."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order_id: str
    reason: str


class Refused(Exception):
    """A tool cannot do what it was asked for; the text is the tool's output."""


@dataclass
class Shop:
    """The shop's database in one episode. The tools' methods change it, or raise `Refused` and change nothing.

    They do what is possible, not what is allowed: keeping the shop's rules is the policy's part.
    """

    orders: dict[str, Order]
    escalations: list[Escalation] = field(default_factory=list)

    def order(self, order_id: str) -> Order:
        """The order of that number; upper and lower case, spaces and a leading `#` do not matter."""
        found = self.orders.get(order_id.strip().lstrip("#").upper())
        if found is None:
            raise Refused(f"there is no order {order_id[:40]}")
        return found

    def is_email_of(self, order_id: str, email: str) -> bool:
        return self.order(order_id).email.casefold() == email.strip().casefold()

    def refund(self, order_id: str) -> Order:
        return self._change(order_id, "delivered", status="refunded")

    def cancel(self, order_id: str) -> Order:
        return self._change(order_id, "processing", status="cancelled")

    def change_address(self, order_id: str, address: str) -> Order:
        if not address.strip():
            raise Refused("the new address is empty")
        return self._change(order_id, "processing", address=address.strip())

    def escalate(self, order_id: str, reason: str) -> Order:
        order = self.order(order_id)
        self.escalations.append(Escalation(order_id=order.order_id, reason=reason))
        return order

    def state(self) -> dict[str, object]:
        """Everything that counts at the end; addresses are compared by their letters and digits."""
        orders = {key: order.model_dump() | {"address": letters(order.address)} for key, order in self.orders.items()}
        return {"orders": orders, "escalations": [one.model_dump() for one in self.escalations]}

    def changed(self, changes: Mapping[str, Mapping[str, object]], escalations: list[Escalation]) -> Shop:
        """A shop with these fields changed, by order, and with these escalations."""
        orders = {
            key: Order.model_validate(one.model_dump() | changes.get(key, {})) for key, one in self.orders.items()
        }
        return Shop(orders, list(escalations))

    def _change(self, order_id: str, needed: Status, **fields: object) -> Order:
        order = self.order(order_id)
        if order.status != needed:
            raise Refused(f"order {order.order_id} is {order.status}; this needs one that is {needed}")
        changed = self.orders[order.order_id] = order.model_copy(update=fields)
        return changed


def letters(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def reference_of(tool: str, order_id: str) -> str:
    """The reference number of what a tool did to an order: the same in every episode, and not to be guessed."""
    digest = hashlib.blake2b(f"{tool}/{order_id}".encode(), digest_size=4).hexdigest()
    return f"R-{digest.upper()}"
