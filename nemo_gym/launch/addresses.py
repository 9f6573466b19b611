"""Every address of a run, bound: the head server's, and one per worker of every instance."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from nemo_gym.config.instance import GymConfig, ServerInstance
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.launch.ports import PortTaken, listen_on, listen_on_free_port, url_of
from nemo_gym.serving.spec import ServerAddress


@dataclass(frozen=True)
class Listener:
    """A listening socket and the URL at which others reach it."""

    bound: socket.socket
    url: str

    @classmethod
    def of(cls, bound: socket.socket) -> Listener:
        """Around a socket from `ports`."""
        return cls(bound, url_of(bound))


@dataclass(frozen=True)
class Addresses:
    """Made by `bind`; closed by whoever made it."""

    head: Listener
    workers: dict[str, tuple[Listener, ...]]
    """By instance name."""
    directory: dict[str, ServerAddress]

    @classmethod
    def bind(cls, config: GymConfig) -> Addresses:
        """Raises ConfigError with every address that cannot be had, and who holds it."""
        problems: list[ConfigProblem] = []
        kept: list[Listener] = []

        def keep(listener: socket.socket) -> Listener:
            kept.append(Listener.of(listener))
            return kept[-1]

        workers: dict[str, tuple[Listener, ...]] = {}
        head: Listener | None = None
        try:
            head = keep(_head(config))
        except OSError as error:
            problems.append(_problem(error, config.head_source, "head_server", config.head_host))
        # Explicit ports first: no free one given to another instance can be in their way.
        for instance in sorted(config.instances.values(), key=lambda each: each.port is None):
            try:
                workers[instance.name] = tuple(keep(each) for each in _listen(instance, config.port_range))
            except OSError as error:
                key = f"{instance.name}.{instance.server_type}.{instance.implementation}"
                problems.append(_problem(error, instance.sources.get("port", instance.source), key, instance.host))
        if problems or head is None:
            for listener in kept:
                listener.bound.close()
            raise ConfigError(problems)
        directory = {name: _address(config.instances[name], listeners) for name, listeners in workers.items()}
        return cls(head, workers, {name: directory[name] for name in config.instances})

    def close(self) -> None:
        """Give them back."""
        self.head.bound.close()
        for listeners in self.workers.values():
            for listener in listeners:
                listener.bound.close()


def _head(config: GymConfig) -> socket.socket:
    try:
        return listen_on(config.head_host, config.head_port)
    except PortTaken:
        if config.head_is_explicit:
            raise
    return listen_on_free_port(config.head_host, *(config.port_range or ()))


def _listen(instance: ServerInstance, port_range: tuple[int, int] | None) -> Iterator[socket.socket]:
    """One socket per worker: the first at the port that is asked for, if one is, the others at free ones."""
    free = instance.num_workers
    if instance.port is not None:
        yield listen_on(instance.host, instance.port)
        free -= 1
    for _ in range(free):
        yield listen_on_free_port(instance.host, *(port_range or ()))


def _problem(error: OSError, file: str, key: str, host: str) -> ConfigProblem:
    if isinstance(error, PortTaken):
        return ConfigProblem(file, f"{key}.port", str(error.strerror))
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return ConfigProblem(file, f"{key}.host", f"`{host}` is no address of this machine")
    if error.errno == errno.EACCES:
        return ConfigProblem(file, f"{key}.port", "may be used by root only; choose one above 1023")
    return ConfigProblem(file, key, f"cannot listen on `{host}`: {error.strerror or error}")


def _address(instance: ServerInstance, listeners: tuple[Listener, ...]) -> ServerAddress:
    return ServerAddress(
        name=instance.name,
        server_type=instance.server_type,
        implementation=instance.implementation,
        urls=tuple(listener.url for listener in listeners),
    )
