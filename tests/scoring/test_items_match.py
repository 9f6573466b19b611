from nemo_gym.scoring.items_match import same_items


def test_items_match_in_any_order_after_normalising_unless_order_counts() -> None:
    assert same_items(["the Nile", "Amazon."], ["amazon", "nile"])
    assert not same_items(["Nile", "Amazon"], ["amazon", "nile"], ordered=True)
    assert same_items(["Amazon", "Nile"], ["amazon", "nile"], ordered=True)


def test_repeats_count_unless_told_otherwise() -> None:
    assert not same_items(["x", "x"], ["x"])
    assert same_items(["x", "x"], ["x"], count_repeats=False)
    assert not same_items(["x"], ["x", "y"], count_repeats=False)


def test_the_key_says_what_is_equal() -> None:
    assert not same_items(["X"], ["x"], key=str)
    assert same_items(["10", "2.0"], ["2", "10.0"], key=float)
