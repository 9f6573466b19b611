"""Binding every address of a run before anything starts."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable

import pytest

from nemo_gym.config.instance import GymConfig
from nemo_gym.errors import ConfigError
from nemo_gym.launch.addresses import Addresses
from nemo_gym.launch.ports import holder_of, listen_on, listen_on_free_port, url_of

MakeConfig = Callable[..., GymConfig]


def with_port(config: GymConfig, name: str, **changes: object) -> GymConfig:
    instance = dataclasses.replace(config.instances[name], **changes)
    return dataclasses.replace(config, instances={**config.instances, name: instance})


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_every_worker_gets_a_port_and_the_first_the_one_asked_for(toy_config: MakeConfig) -> None:
    [port] = free_ports(1)
    config = with_port(toy_config({"one": "", "two": ""}), "one", port=port, num_workers=3)
    addresses = Addresses.bind(config)
    assert addresses.directory["one"].urls[0] == f"http://127.0.0.1:{port}"
    assert len({*addresses.directory["one"].urls, *addresses.directory["two"].urls}) == 4
    assert list(addresses.directory) == ["one", "two"]
    addresses.close()


def test_free_ports_come_from_the_range_that_is_given() -> None:
    low = free_ports(1)[0]
    with (
        listen_on_free_port("127.0.0.1", low, low + 5) as first,
        listen_on_free_port("127.0.0.1", low, low + 5) as second,
    ):
        ports = [first.getsockname()[1], second.getsockname()[1]]
    assert all(low <= port <= low + 5 for port in ports) and len(set(ports)) == 2


def test_an_exhausted_range_is_a_config_error(toy_config: MakeConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = dataclasses.replace(toy_config({"one": ""}), port_range=(port, port))
        with pytest.raises(ConfigError, match=f"no port from {port} to {port} is free"):
            Addresses.bind(config)


def test_all_addresses_that_cannot_be_had_are_reported_and_the_others_given_back(toy_config: MakeConfig) -> None:
    [free] = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = toy_config({"one": "", "two": "", "three": ""})
        config = with_port(config, "one", port=taken.getsockname()[1])
        config = with_port(config, "two", host="192.0.2.77")
        config = with_port(config, "three", port=free)
        with pytest.raises(ConfigError) as caught:
            Addresses.bind(config)
    assert [problem.key for problem in caught.value.problems] == [
        "one.resources_servers.one.port",
        "two.resources_servers.two.host",
    ]
    assert f"(pid {os.getpid()})" in caught.value.problems[0].message or "another server" in str(caught.value)
    listen_on("127.0.0.1", free).close()


def test_the_head_server_moves_aside_unless_its_port_was_asked_for(toy_config: MakeConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = dataclasses.replace(toy_config({"one": ""}), head_port=taken.getsockname()[1])
        addresses = Addresses.bind(config)
        assert url_of(taken) != addresses.head.url
        addresses.close()
        with pytest.raises(ConfigError, match=r"head_server\.port"):
            Addresses.bind(dataclasses.replace(config, head_is_explicit=True))


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert f"(pid {os.getpid()})" in (holder_of(held.getsockname()[1]) or "")


def test_a_server_on_all_addresses_is_told_to_others_by_one_that_they_can_reach() -> None:
    with listen_on("0.0.0.0", 0) as listener:
        url = url_of(listener)
        host = url.removeprefix("http://").rpartition(":")[0]
        assert host != "0.0.0.0"
        socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()
