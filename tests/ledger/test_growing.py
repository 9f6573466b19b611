from __future__ import annotations

from nemo_gym.ledger.growing import Growing


def test_what_is_added_leaves_earlier_states_as_they_were() -> None:
    one = Growing([1, 2])
    two = one.plus([3])
    three = two.plus([4, 5])
    assert [one.since(0), two.since(0), three.since(0)] == [[1, 2], [1, 2, 3], [1, 2, 3, 4, 5]]
    assert three.until(3) == [1, 2, 3]
    assert one.until(9) == [1, 2]


def test_two_continuations_of_one_state_do_not_see_each_other() -> None:
    begun = Growing("ab")
    left, right = begun.plus("c"), begun.plus("d")
    assert left.plus("e").since(0) == ["a", "b", "c", "e"]
    assert right.since(0) == ["a", "b", "d"]
    assert len(begun) == 2
