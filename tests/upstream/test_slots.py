"""Slots: so many at a time, in order, none during a pause; nothing leaks when somebody stops waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from nemo_gym.errors import DeadlineExceeded, EngineRefusedError
from nemo_gym.upstream.slots import MAX_PAUSE_S, Allowed, Slot, Slots

URL = "http://endpoint/v1"


def soon() -> float:
    return time.monotonic() + 20


class Holder:
    """Takes a slot and keeps it until told."""

    def __init__(self, slots: Slots) -> None:
        self.slot: Slot | None = None
        self._over = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots))

    async def _hold(self, slots: Slots) -> None:
        async with slots.slot(soon()) as self.slot:
            await self._over.wait()

    async def leave(self) -> None:
        self._over.set()
        await self.task


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def holders(slots: Slots, count: int, stack: AsyncExitStack) -> list[Holder]:
    """That many who ask, one after another."""
    asking = [Holder(slots) for _ in range(count)]
    for each in reversed(asking):  # those who hold one leave first
        stack.push_async_callback(each.leave)
    await asyncio.sleep(0)
    return asking


def holding(asked: list[Holder]) -> list[bool]:
    return [each.slot is not None for each in asked]


async def test_slots_are_given_in_the_order_in_which_they_were_asked_for(stack: AsyncExitStack) -> None:
    slots = Slots(URL, 1)
    asked = await holders(slots, 3, stack)
    assert holding(asked) == [True, False, False]
    await asked[0].leave()
    await asyncio.sleep(0)
    assert holding(asked) == [True, True, False]
    load = slots.load()
    assert (load.in_flight, load.waiting, load.limit) == (1, 1, 1)


@pytest.mark.parametrize("allowed", [None, 3, "auto"])
async def test_a_change_counts_for_those_who_wait_already(allowed: Allowed, stack: AsyncExitStack) -> None:
    slots = Slots(URL, 1)
    asked = await holders(slots, 3, stack)
    slots.allow(allowed)
    await asyncio.sleep(0)
    assert holding(asked) == [True, True, True]


async def test_fewer_slots_than_are_held_are_given_again_when_enough_came_back(stack: AsyncExitStack) -> None:
    slots = Slots(URL, 3)
    asked = await holders(slots, 4, stack)
    slots.allow(1)
    await asked[0].leave()
    await asked[1].leave()
    assert holding(asked) == [True, True, True, False]
    await asked[2].leave()
    await asyncio.sleep(0)
    assert holding(asked)[3]


async def test_whoever_stops_waiting_takes_no_slot(stack: AsyncExitStack) -> None:
    slots = Slots(URL, 1)
    first, gives_up, last = await holders(slots, 3, stack)
    gives_up.task.cancel()
    await asyncio.wait({gives_up.task})
    await first.leave()
    await asyncio.sleep(0)
    assert last.slot is not None
    stack.pop_all()
    await last.leave()
    assert (slots.load().in_flight, slots.load().waiting) == (0, 0)


async def test_a_slot_that_was_given_to_someone_cancelled_at_that_moment_is_given_on(stack: AsyncExitStack) -> None:
    slots = Slots(URL, 1)
    first, cancelled, last = await holders(slots, 3, stack)
    slots.allow(2)  # gives the second one its slot, which it has not seen yet
    cancelled.task.cancel()
    await asyncio.wait({cancelled.task})
    await asyncio.sleep(0)
    assert last.slot is not None
    stack.pop_all()
    await first.leave()
    await last.leave()
    assert slots.load().in_flight == 0


async def test_a_pause_that_one_is_asked_for_holds_up_all_and_ends(stack: AsyncExitStack) -> None:
    slots = Slots(URL, None)
    async with slots.slot(soon()) as slot:
        slot.came(429, {"retry-after": "0.3"})
    began = time.monotonic()
    asked = await holders(slots, 5, stack)
    assert holding(asked) == [False] * 5 and 0 < slots.load().paused_s <= 0.3
    async with slots.slot(soon()):
        assert time.monotonic() - began >= 0.25
    assert holding(asked) == [True] * 5


async def test_a_pause_beyond_the_deadline_is_not_waited_for() -> None:
    slots = Slots(URL, None)
    async with slots.slot(soon()) as slot:
        slot.came(503, {"retry-after": "60"})
    with pytest.raises(EngineRefusedError, match=r"not sent: it asked to be left alone for 60 s more") as raised:
        async with slots.slot(soon()):
            pass
    assert (raised.value.status, raised.value.headers) == (429, {"retry-after": "60"})


async def test_a_pause_of_an_hour_is_believed_for_two_minutes() -> None:
    slots = Slots(URL, None)
    async with slots.slot(soon()) as slot:
        slot.came(503, {"retry-after": "3600"})
    assert MAX_PAUSE_S - 5 < slots.load().paused_s <= MAX_PAUSE_S == 120


async def test_no_slot_in_time_is_an_error_that_says_so(stack: AsyncExitStack) -> None:
    slots = Slots(URL, 1)
    await holders(slots, 1, stack)
    with pytest.raises(DeadlineExceeded, match="max_concurrent_requests"):
        async with slots.slot(time.monotonic() + 0.05):
            pass
    assert slots.load().waiting == 0


async def test_with_auto_refusals_lower_the_limit_and_other_errors_do_not(stack: AsyncExitStack) -> None:
    slots = Slots(URL, "auto")
    asked = await holders(slots, 4, stack)
    assert asked[0].slot is not None and asked[1].slot is not None
    asked[0].slot.came(500, {})
    await asked[0].leave()
    assert slots.load().limit == 4
    asked[1].slot.came(429, {})
    await asked[1].leave()
    load = slots.load()
    assert (load.limit, load.refused, load.answered) == (2, 1, 0)
