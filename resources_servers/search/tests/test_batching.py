import asyncio
import threading

import pytest

from resources_servers.search.batching import Batcher, QueueFull


class Doubling:
    """Answers with the double; notes its batches, and waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.began.set()
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(20)
        if -1 in numbers:
            raise ValueError("no doubles below zero")
        return [2 * number for number in numbers]


def batcher(answer_all: Doubling, *, max_batch_size: int = 8, wait_s: float = 0.0, max_waiting: int = 100) -> Batcher:
    return Batcher(answer_all, max_batch_size=max_batch_size, wait_s=wait_s, max_waiting=max_waiting)


async def test_what_is_asked_together_is_answered_in_one_batch_off_the_event_loop() -> None:
    doubling = Doubling()
    one = batcher(doubling, wait_s=5.0)
    assert await asyncio.gather(*(one.ask(number) for number in range(8))) == [2 * number for number in range(8)]
    assert doubling.batches == [list(range(8))]
    assert threading.get_ident() not in doubling.threads
    assert (one.counts.questions, one.counts.batches, one.counts.largest_batch) == (8, 1, 8)
    one.close()


async def test_the_next_batch_gathers_while_one_is_being_answered() -> None:
    doubling = Doubling()
    doubling.go_on.clear()
    one = batcher(doubling, max_batch_size=4)
    first = asyncio.create_task(one.ask(0))
    await asyncio.to_thread(doubling.began.wait, 20)
    others = [asyncio.create_task(one.ask(number)) for number in range(1, 7)]
    await asyncio.sleep(0)
    others[1].cancel()  # a client that went away
    await asyncio.sleep(0)
    doubling.go_on.set()
    assert await first == 0
    assert [await task for task in others if task is not others[1]] == [2, 6, 8, 10, 12]
    assert doubling.batches == [[0], [1, 3, 4], [5, 6]]
    one.close()


async def test_an_error_reaches_all_of_its_batch_and_none_of_the_next() -> None:
    one = batcher(Doubling(), wait_s=5.0, max_batch_size=2)
    results = await asyncio.gather(one.ask(-1), one.ask(3), return_exceptions=True)
    assert [str(result) for result in results] == ["no doubles below zero"] * 2
    assert await asyncio.gather(one.ask(4), one.ask(5)) == [8, 10]
    one.close()


async def test_more_than_may_wait_is_refused() -> None:
    doubling = Doubling()
    doubling.go_on.clear()
    one = batcher(doubling, max_batch_size=1, max_waiting=2)
    asked = [asyncio.create_task(one.ask(0))]
    await asyncio.to_thread(doubling.began.wait, 20)
    asked += [asyncio.create_task(one.ask(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await one.ask(3)
    doubling.go_on.set()
    assert await asyncio.gather(*asked) == [0, 2, 4]
    one.close()
