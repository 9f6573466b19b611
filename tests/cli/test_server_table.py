"""The table of servers on terminals of different widths."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from nemo_gym.cli.server_table import server_table

COLUMNS = ("server", "URL", "pid", "memory")
ROWS = [("calendar_simple_agent", "http://127.0.0.1:43665", "30392", "52 MiB")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch):
    def of_width(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))

    return of_width


def test_a_table_that_fits_keeps_its_optional_columns(terminal) -> None:
    terminal(60)
    assert "memory" in server_table(COLUMNS, ROWS, optional=("memory", "pid"))


def test_a_narrow_terminal_loses_optional_columns_one_by_one_and_folds_nothing(terminal) -> None:
    terminal(52)
    shown = server_table(COLUMNS, ROWS, optional=("memory", "pid"))
    assert "memory" not in shown and "pid" in shown and len(shown.splitlines()) == 2
    terminal(46)
    shown = server_table(COLUMNS, ROWS, optional=("memory", "pid"))
    assert "pid" not in shown and len(shown.splitlines()) == 2


def test_what_is_still_too_wide_is_folded_and_never_cut(terminal) -> None:
    terminal(38)
    shown = server_table(COLUMNS, ROWS, optional=("memory", "pid"))
    assert "http://127.0.0.1:43665" in shown and "…" not in shown and len(shown.splitlines()) > 2


def test_nothing_is_left_out_where_the_output_is_no_terminal() -> None:
    assert "52 MiB" in server_table(COLUMNS, ROWS, optional=("memory", "pid"))
