"""Replicas: a key keeps its endpoint, a dead one's keys move and come back after the cool-down."""

from __future__ import annotations

from nemo_gym.upstream.replicas import Replicas

URLS = ["http://a/v1", "http://b/v1/", "http://c/v1"]
KEYS = [f"rollout-{index}" for index in range(300)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_the_keys_of_a_dead_endpoint_move_and_they_come_back() -> None:
    clock = Clock()
    replicas = Replicas(URLS, cool_down_s=10, clock=clock)
    before = {key: replicas.choose(key) for key in KEYS}
    assert set(before.values()) == {url.rstrip("/") for url in URLS}
    assert replicas.mark_dead("http://a/v1") is True
    after = {key: replicas.choose(key) for key in KEYS}
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == "http://a/v1"}
    assert {after[key] for key in moved} == {"http://b/v1", "http://c/v1"}
    clock.now = 10.0
    assert {key: replicas.choose(key) for key in KEYS} == before


def test_where_all_are_dead_the_first_to_come_back_is_tried() -> None:
    clock = Clock()
    replicas = Replicas(URLS[:2], cool_down_s=10, clock=clock)
    assert replicas.mark_dead("http://b/v1") is True
    clock.now = 1.0
    assert replicas.mark_dead("http://a/v1") is False
    assert replicas.choose("x") == "http://b/v1"
