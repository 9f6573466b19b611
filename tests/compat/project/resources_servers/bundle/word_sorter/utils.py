"""Helpers of word_sorter."""


def is_sorted(words: list[str], reverse: bool) -> bool:
    return bool(words) and words == sorted(words, reverse=reverse)
