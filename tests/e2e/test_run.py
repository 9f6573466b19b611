"""`ng_run` and `ng_status` as processes: what they print, how they end, and that nothing stays behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_gym.serving.runs import live_runs
from tests.launch.toys import GOOD, STUBBORN, is_alive, processes_of, write_toy

pytestmark = pytest.mark.e2e

RUN = (sys.executable, "-c", "from nemo_gym.cli.run import main; main()")
STATUS = (sys.executable, "-c", "from nemo_gym.cli.status import main; main()")
READY = "servers are ready"
PATIENCE_S = 60.0


class Launched:
    """A running `ng_run`."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self.cwd, self.output = cwd, ""
        self.process = subprocess.Popen(
            [*RUN, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def run_id(self) -> str:
        [run] = [run for run in live_runs(self.cwd) if run.pid == self.process.pid]
        return run.run_id

    def until(self, text: str) -> Launched:
        """Read its output until that appears."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.output:
            readable, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert readable, f"no {text!r} in {self.output}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"ended without {text!r}: {self.output}"
            self.output += data.decode()
        return self

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        self.output += rest.decode()
        return self.process.returncode


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[object]:
    launched: list[Launched] = []

    def start(servers: dict[str, str], *arguments: str, cwd: Path = tmp_path) -> Launched:
        lines = []
        for name, code in servers.items():
            write_toy(cwd, name, code)
            lines.append(f"{name}: {{resources_servers: {{{name}: {{entrypoint: app.py}}}}}}")
        (cwd / "toys.yaml").write_text("\n".join(lines))
        launched.append(Launched(cwd, "+config_paths=[toys.yaml]", *arguments))
        return launched[-1]

    yield start
    for each in launched:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.02)


def test_it_prints_every_server_with_its_address_and_stops_all_at_one_interrupt(launch) -> None:
    run = launch({"one": GOOD, "two": "print('I am two')\n" + GOOD}).until(READY)
    pids = processes_of(run.run_id)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0
    assert not any(map(is_alive, pids))
    assert re.search(r"^one +resources +one +http://127\.0\.0\.1:\d+ +\d+$", run.output, re.MULTILINE)
    assert "All 2 servers are ready after" in run.output
    assert "[two] I am two" in run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_stops_all_at(number: signal.Signals, launch) -> None:
    run = launch({"one": GOOD}).until(READY)
    pids = processes_of(run.run_id)
    run.process.send_signal(number)
    assert run.end() == 0
    assert not any(map(is_alive, pids))


def test_it_stops_what_it_has_started_when_interrupted_during_the_start(launch) -> None:
    run = launch({"slow": "print('starting', flush=True); time.sleep(600)"}).until("[slow] starting")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0
    [folder] = (run.cwd / ".nemo_gym" / "runs").iterdir()
    assert processes_of(folder.name) == []


def test_a_second_interrupt_kills_at_once(launch) -> None:
    run = launch({"one": STUBBORN["ignores SIGTERM"]}, "+shutdown_grace_s=600").until(READY)
    pids = processes_of(run.run_id)
    run.process.send_signal(signal.SIGINT)
    run.until("once more stops at once")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("code", STUBBORN.values(), ids=STUBBORN.keys())
def test_killing_the_launcher_leaves_no_process_of_a_server_that(code: str, launch) -> None:
    run = launch({"stubborn": code, "good": GOOD}).until(READY)
    pids = processes_of(run.run_id)
    assert len(pids) >= 2
    run.process.kill()
    run.process.wait()
    until_gone(pids)
    assert live_runs(run.cwd) == []


def test_killing_launcher_and_guardian_together_still_ends_the_servers(launch) -> None:
    run = launch({"spinning": STUBBORN["spins in C, holding the interpreter"]}).until(READY)
    run_id, pids = run.run_id, processes_of(run.run_id)
    for process in Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes().split(b"\0") if is_alive(int(process.name)) else []
        if b"nemo_gym.launch.guardian" in words and run_id.encode() in words:
            os.kill(int(process.name), signal.SIGSTOP)
            guardian = int(process.name)
    run.process.kill()
    run.process.wait()
    os.kill(guardian, signal.SIGKILL)
    until_gone(pids)


@pytest.mark.parametrize("delay_s", [0.3, 0.45, 0.6, 0.75, 0.9])
def test_killing_the_launcher_while_it_starts_leaves_no_process(delay_s: float, launch) -> None:
    run = launch(dict.fromkeys(("one", "two", "three"), STUBBORN["has grandchildren"]))
    time.sleep(delay_s)  # any moment will do: that is what is tested
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + PATIENCE_S
    for folder in run.cwd.glob(".nemo_gym/runs/*"):
        while any(is_alive(pid) for pid in processes_of(folder.name)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_mistakes_in_the_settings_of_real_servers_come_together_and_nothing_stays(tmp_path: Path) -> None:
    files = (
        "resources_servers/calendar/configs/calendar.yaml",
        "responses_api_models/scripted_model/configs/scripted_model.yaml",
    )
    run = Launched(
        tmp_path,
        f"+config_paths=[{','.join(files)}]",
        "++calendar.resources_servers.calendar.strategie=final_state",
        "++policy_model.responses_api_models.scripted_model.sed=0",
    )
    assert run.end() == 2
    assert "calendar.resources_servers.calendar.strategie" in run.output and "`strategy`" in run.output
    assert "policy_model.responses_api_models.scripted_model.sed" in run.output and "`seed`" in run.output
    assert "Traceback" not in run.output and len(run.output.splitlines()) <= 10


def test_two_runs_in_one_folder_do_not_fight(launch) -> None:
    first = launch({"one": GOOD}).until(READY)
    second = launch({"one": GOOD}).until(READY)
    assert len({run.head_url for run in live_runs(first.cwd)}) == 2
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == 0
    shown = subprocess.run(STATUS, cwd=first.cwd, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0 and re.search(r"^one +resources +ready ", shown.stdout, re.MULTILINE)
    second.process.send_signal(signal.SIGTERM)
    assert second.end() == 0


def test_status_shows_a_run_by_the_address_of_its_head_server(launch, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = launch({"one": GOOD}).until(READY)
    port = live_runs(run.cwd)[0].head_url.rpartition(":")[2]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [*STATUS, f"+head_server.port={port}"]
    shown = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0 and "one" in shown.stdout


def test_status_fails_where_no_run_is_live(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        command = [*STATUS, f"+head_server.port={unused.getsockname()[1]}"]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 1
    assert len(shown.stderr.splitlines()) <= 10 and "Traceback" not in shown.stderr


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        run = launch({"one": "print('started')\n" + GOOD}, f"++one.resources_servers.one.port={port}")
        assert run.end() == 2
    assert f"port {port} is taken by" in run.output and f"(pid {os.getpid()})" in run.output
    assert "command line: `one.resources_servers.one.port`" in run.output
    assert "started" not in run.output


def test_a_taken_port_of_the_head_server_is_an_error_only_if_it_was_asked_for(launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        run = launch({"one": GOOD}, f"+head_server.port={holder.getsockname()[1]}")
        assert run.end() == 2
    assert "command line: `head_server.port`" in run.output and "is taken" in run.output


def test_a_server_that_fails_to_start_ends_the_run_with_exit_code_one(launch) -> None:
    run = launch({"good": GOOD, "bad": "raise ValueError('no such thing')"})
    assert run.end() == 1
    assert "bad cannot start: resources_servers/bad/app.py:20: ValueError: no such thing" in run.output
    [log] = (run.cwd / ".nemo_gym" / "runs").glob("*/bad.log")
    assert "Traceback" in log.read_text() and "Traceback" not in run.output


def test_problems_that_servers_report_end_the_run_with_exit_code_two(launch) -> None:
    code = 'report(event="failed", problems=[{"file": "toys.yaml", "key": "bad.x", "message": "is wrong"}])'
    run = launch({"good": GOOD, "bad": code})
    assert run.end() == 2
    assert "toys.yaml: `bad.x`: is wrong" in run.output


def test_a_server_that_is_still_starting_is_seen_by_status(launch) -> None:
    run = launch({"slow": "print('starting', flush=True); time.sleep(600)", "good": GOOD}).until("[slow] starting")
    deadline = time.monotonic() + PATIENCE_S
    while not live_runs(run.cwd):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shown = subprocess.run(STATUS, cwd=run.cwd, capture_output=True, text=True, timeout=PATIENCE_S)
    assert re.search(r"^slow +resources +starting ", shown.stdout, re.MULTILINE)


def test_status_waits_until_every_server_is_ready(launch) -> None:
    run = launch({"slow": "time.sleep(1.5)\n" + GOOD, "good": GOOD})
    command = [*STATUS, f"+wait_s={PATIENCE_S}"]
    shown = subprocess.run(command, cwd=run.cwd, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0 and re.search(r"^slow +resources +ready ", shown.stdout, re.MULTILINE)


def test_status_stops_waiting_for_a_server_that_does_not_get_ready(launch) -> None:
    run = launch({"slow": "print('starting', flush=True); time.sleep(600)"}).until("[slow] starting")
    shown = subprocess.run([*STATUS, "+wait_s=1"], cwd=run.cwd, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 1


def test_a_server_that_dies_is_named_and_comes_back(launch) -> None:
    run = launch({"one": "print('my last words')\n" + GOOD}).until(READY)
    pid = processes_of(run.run_id)[0]
    os.kill(pid, signal.SIGKILL)
    run.until("one is ready again.")
    assert "one ended with signal SIGKILL" in run.output and "  my last words" in run.output
    assert "(1 of 3)" in run.output


def test_an_edited_server_is_started_again_and_a_broken_edit_is_survived(launch) -> None:
    run = launch({"one": "print('first version')\n" + GOOD, "two": GOOD}, "+reload=true").until(READY)
    write_toy(run.cwd, "one", "print('second version')\n" + GOOD)
    run.until("app.py changed; starting again: one").until("[one] second version")
    write_toy(run.cwd, "one", "this is no Python")
    run.until("Waiting for the next edit.")
    write_toy(run.cwd, "one", "print('third version')\n" + GOOD)
    run.until("[one] third version")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0


def test_a_terminal_that_takes_no_output_does_not_stop_servers_from_starting(tmp_path: Path) -> None:
    write_toy(tmp_path, "loud", "print(*['x' * 70] * 100_000, sep='\\n')\n" + GOOD)
    (tmp_path / "toys.yaml").write_text("loud: {resources_servers: {loud: {entrypoint: app.py}}}")
    ours, theirs = pty.openpty()  # never read from
    process = subprocess.Popen([*RUN, "+config_paths=[toys.yaml]"], cwd=tmp_path, stdout=theirs, stderr=theirs)
    deadline = time.monotonic() + PATIENCE_S
    log = tmp_path / ".nemo_gym" / "runs"
    while not any(file.stat().st_size > 7_000_000 for file in log.glob("*/loud.log")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=PATIENCE_S) == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("mode", ["+in_process=false", "+in_process=true"])
def test_the_calendar_environment_runs(mode: str, tmp_path: Path) -> None:
    files = (
        "resources_servers/calendar/configs/calendar.yaml",
        "responses_api_models/scripted_model/configs/scripted_model.yaml",
    )
    run = Launched(tmp_path, f"+config_paths=[{','.join(files)}]", mode).until(READY)
    shown = subprocess.run(STATUS, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0 and shown.stdout.count(" ready ") == 4
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0
    assert "Traceback" not in run.output


@pytest.mark.parametrize("command", [RUN, STATUS])
def test_help_fits_one_screen_and_shows_an_example(command: tuple[str, ...], tmp_path: Path) -> None:
    shown = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) <= 24
    assert re.search(r"^  ng_(run|status)", shown.stdout, re.MULTILINE)
