"""ServerClient: addresses by name, and every call of a session to the worker that holds it."""

from __future__ import annotations

import pytest

from nemo_gym.errors import ConfigError
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import SessionStore, session_cookie_name
from nemo_gym.serving.spec import ServerAddress


def client_with(workers: int) -> ServerClient:
    urls = tuple(f"http://127.0.0.1:{9000 + n}" for n in range(workers))
    address = ServerAddress(name="env", server_type="resources_servers", implementation="env", urls=urls)
    return ServerClient({"env": address})


def test_an_unknown_server_is_named_with_the_nearest_right_name() -> None:
    with pytest.raises(ConfigError, match="`environment`: no server of that name; servers are `env`"):
        client_with(1).url_of("environment")


def test_new_sessions_go_to_the_workers_in_turn() -> None:
    client = client_with(3)
    assert len({client.url_of("env") for _ in range(3)}) == 3


def test_a_session_stays_with_the_worker_that_made_it() -> None:
    client = client_with(4)
    for worker in range(4):
        store = SessionStore(worker=worker)
        cookies = {session_cookie_name("env"): store.sign(store.new_id()), "other": "x"}
        assert {client.url_of("env", cookies=cookies) for _ in range(5)} == {f"http://127.0.0.1:{9000 + worker}"}


def test_a_session_named_by_header_always_goes_to_one_worker_and_they_share_the_load() -> None:
    client = client_with(4)
    urls = [client.url_of("env", headers={"x-session-id": f"s{n}"}) for n in range(400)]
    assert urls == [client.url_of("env", headers={"x-session-id": f"s{n}"}) for n in range(400)]
    assert all(60 < urls.count(url) < 140 for url in set(urls)) and len(set(urls)) == 4


def test_header_and_cookie_of_a_session_lead_to_the_same_worker() -> None:
    client = client_with(4)
    for session_id in ("mine", "7-mine", SessionStore(worker=2).new_id()):
        cookies = {session_cookie_name("env"): SessionStore().sign(session_id)}
        named = {client.url_of("env", headers={name: session_id}) for name in ("x-session-id", "X-Session-ID")}
        assert {client.url_of("env", cookies=cookies)} == named, session_id


def test_the_header_goes_before_the_cookie() -> None:
    client = client_with(4)
    cookies = {session_cookie_name("env"): SessionStore().sign(SessionStore(worker=2).new_id())}
    own = SessionStore(worker=1).new_id()
    assert client.url_of("env", headers={"X-Session-ID": own}, cookies=cookies) == "http://127.0.0.1:9001"
