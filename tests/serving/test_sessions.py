"""Sessions over ASGI: carried by cookie or header, signed, freed."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from nemo_gym.serving.front import Front
from nemo_gym.serving.request_metrics import RequestMetrics
from nemo_gym.serving.sessions import SESSION_ID_KEY, Sessions, SessionStore, id_in, worker_of


async def count(request: Request) -> JSONResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    return JSONResponse({"n": request.session["n"], "id": request.session[SESSION_ID_KEY]})


async def look(request: Request) -> JSONResponse:
    return JSONResponse({"id": request.session[SESSION_ID_KEY]})


async def fail(request: Request) -> JSONResponse:
    return JSONResponse({}, status_code=500)


def client_of(store: SessionStore, *, keep_empty: bool = False) -> TestClient:
    options: dict[str, Any] = {"instance": "env", "closing": frozenset({"/verify"}), "keep_empty": keep_empty}
    routes = [
        Route("/count", count, methods=["POST"]),
        Route("/verify", count, methods=["POST"]),
        Route("/look", look, methods=["POST"]),
        Route("/fail", fail, methods=["POST"]),
    ]
    front = Middleware(Front, metrics=RequestMetrics(), sessions=Sessions(store, **options))
    app = Starlette(routes=routes, middleware=[front])
    return TestClient(app)


def test_a_cookie_carries_the_session() -> None:
    with client_of(SessionStore()) as client:
        assert [client.post("/count").json()["n"] for _ in range(3)] == [1, 2, 3]


def test_two_clients_have_sessions_of_their_own() -> None:
    store = SessionStore()
    one, two = client_of(store), client_of(store)
    one.post("/count")
    assert (one.post("/count").json()["n"], two.post("/count").json()["n"]) == (2, 1)


def test_a_header_works_in_place_of_the_cookie() -> None:
    client = client_of(SessionStore())
    for n in (1, 2):
        client.cookies.clear()
        answer = client.post("/count", headers={"X-Session-ID": "mine"}).json()
        assert answer == {"n": n, "id": "mine"}


@pytest.mark.parametrize("header", ["", "a b", "x" * 129, "a/../b"])
def test_a_header_that_is_no_session_id_gets_a_new_session(header: str) -> None:
    answer = client_of(SessionStore()).post("/count", headers={"X-Session-ID": header})
    assert answer.json()["id"] != header and "set-cookie" in answer.headers


def test_every_answer_carries_the_cookie_so_that_a_client_may_keep_only_the_last_ones() -> None:
    client = client_of(SessionStore())
    first = client.post("/count").headers["set-cookie"]
    assert client.post("/count").headers["set-cookie"] == client.post("/fail").headers["set-cookie"] == first


def test_a_forged_cookie_gets_a_new_session() -> None:
    store = SessionStore()
    client = client_of(store)
    victim = client.post("/count").json()["id"]
    forger = client_of(store)
    forger.cookies.set("ng_session_env", f"{victim}.{'0' * 24}")
    assert forger.post("/count").json()["id"] != victim


def test_a_cookie_beyond_ascii_is_a_forged_one() -> None:
    answer = client_of(SessionStore()).post(
        "/count", headers={"cookie": "ng_session_env=0-ab.\u00e9".encode("latin-1")}
    )
    assert answer.status_code == 200 and answer.json()["n"] == 1


def test_an_error_answer_keeps_the_session() -> None:
    store = SessionStore()
    client = client_of(store)
    assert "set-cookie" in client.post("/fail").headers
    first = client.post("/count").json()
    client.post("/fail")
    assert client.post("/count").json() == {"n": 2, "id": first["id"]}


def test_a_successful_call_of_a_closing_path_frees_the_session() -> None:
    closed: list[str] = []

    async def on_close(session_id: str) -> None:
        closed.append(session_id)

    store = SessionStore(on_close=on_close)
    client = client_of(store)
    session_id = client.post("/count").json()["id"]
    client.post("/verify")
    assert closed == [session_id] and len(store) == 0


def test_an_idle_session_is_freed_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("nemo_gym.serving.sessions.time.monotonic", lambda: now)
    store = SessionStore(ttl_s=60)
    client_of(store).post("/count")
    now += 59
    other = client_of(store)
    other.post("/count")
    assert len(store) == 2
    now += 2
    other.post("/count")
    assert len(store) == 1


def test_a_session_into_which_nothing_was_put_costs_no_memory_but_keeps_its_id() -> None:
    store = SessionStore()
    client = client_of(store)
    assert client.post("/look").json() == client.post("/look").json()
    assert len(store) == 0


def test_an_empty_session_is_kept_where_the_server_asks_for_it() -> None:
    store = SessionStore()
    client_of(store, keep_empty=True).post("/look")
    assert len(store) == 1


def test_a_session_whose_state_is_gone_is_refused_rather_than_begun_anew() -> None:
    before = SessionStore(secret="of the run")
    cookies = client_of(before, keep_empty=True).post("/count").cookies
    started_again = client_of(SessionStore(secret="of the run"), keep_empty=True)
    started_again.cookies = cookies
    answer = started_again.post("/count")
    assert answer.status_code == 410 and "started again" in answer.json()["error"]["message"]
    assert started_again.post("/seed_session").status_code == 404, "seeding is let through"


def test_a_header_that_names_a_session_of_the_clients_own_begins_it() -> None:
    client = client_of(SessionStore(), keep_empty=True)
    assert client.post("/count", headers={"X-Session-ID": "of-my-own"}).status_code == 200
    assert client.post("/count", headers={"X-Session-ID": f"0-{'a' * 32}"}).status_code == 410


def test_an_ended_session_may_begin_anew_under_its_id() -> None:
    client = client_of(SessionStore(), keep_empty=True)
    first = client.post("/count").json()["id"]
    client.post("/verify")
    assert client.post("/count").json() == {"n": 1, "id": first}


def test_an_expired_session_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("nemo_gym.serving.sessions.time.monotonic", lambda: now)
    store = SessionStore(ttl_s=60)
    client = client_of(store, keep_empty=True)
    client.post("/count")
    now += 61
    client_of(store, keep_empty=True).post("/count")
    assert client.post("/count").status_code == 410


def test_a_failing_close_session_does_not_fail_the_request() -> None:
    async def on_close(session_id: str) -> None:
        raise RuntimeError("the author's mistake")

    client = client_of(SessionStore(on_close=on_close))
    assert client.post("/verify").status_code == 200


def test_the_cookie_names_the_worker_that_holds_the_session() -> None:
    store = SessionStore(worker=3)
    assert worker_of(id_in(store.sign(store.new_id())), 8) == 3


def test_the_header_goes_before_the_cookie_in_whatever_order_they_come() -> None:
    store = SessionStore()
    cookie, header = (b"cookie", f"ng={store.sign('other')}".encode()), (b"x-session-id", b"mine")
    assert store.presented_id([cookie, header], "ng") == store.presented_id([header, cookie], "ng") == "mine"
    assert store.presented_id([cookie], "ng") == "other"
