"""Errors in a server's own code, as users are told of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from nemo_gym.launch.code_error import explain, own_frames


def error_of(tmp_path: Path, code: str) -> Exception:
    """What running `server/app.py` with that code raises; `server/verifier.py` lies beside it."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "verifier.py").write_text("def score(answer):\n    return len(answer)\n")
    (folder / "app.py").write_text(code)
    sys.path.insert(0, str(folder))
    try:
        runpy.run_path(str(folder / "app.py"), run_name="__main__")
    except Exception as error:  # noqa: BLE001 - that is what is wanted
        return error
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("verifier", None)
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "import nunpy",
            "server/app.py:1: ModuleNotFoundError: No module named 'nunpy'; if that is a package, "
            "list it in server/requirements.txt, and it is installed for this server\n    import nunpy",
        ),
        (
            "import verifyer",
            "server/app.py:1: ModuleNotFoundError: No module named 'verifyer'; did you mean `verifier`?\n"
            "    import verifyer",
        ),
        ("x = (1,\ny = 2", "server/app.py:1: SyntaxError: '(' was never closed\n    x = (1,"),
        (
            "\nfrom verifier import score\nscore(None)",
            "server/verifier.py:2: TypeError: object of type 'NoneType' has no len()\n    return len(answer)",
        ),
        ("raise ValueError('one\\ntwo')", "server/app.py:1: ValueError: one\n  two\n    raise ValueError('one\\ntwo')"),
        ("import json\njson.loads('{')", "server/app.py:2: json.decoder.JSONDecodeError: "),
    ],
)
def test_an_error_is_told_with_its_place_in_the_servers_folder(code: str, told: str, tmp_path: Path) -> None:
    assert explain(error_of(tmp_path, code), tmp_path / "server", tmp_path).startswith(told)


def test_a_name_that_is_not_in_a_module_comes_with_the_nearest(tmp_path: Path) -> None:
    told = explain(error_of(tmp_path, "from json import dumpz"), tmp_path / "server", tmp_path)
    assert told.startswith("server/app.py:1: ImportError: cannot import name 'dumpz' from 'json'")
    assert "did you mean" in told.lower() and "dump" in told


def test_an_endless_message_is_cut(tmp_path: Path) -> None:
    told = explain(error_of(tmp_path, "raise ValueError('x\\n' * 100 + 'y' * 10_000)"), tmp_path / "server", tmp_path)
    assert len(told.splitlines()) <= 6 and len(told) < 1_500


def test_frames_that_only_started_the_code_are_left_out(tmp_path: Path) -> None:
    error = error_of(tmp_path, "def f():\n    raise KeyError('x')\nf()")
    trace = own_frames(error, without=frozenset({__file__, "<frozen runpy>"}))
    assert "runpy" not in trace and __file__ not in trace
    assert trace.count('app.py", line') == 2 and trace.endswith("KeyError: 'x'\n")
