"""A command: runs its body, shows errors in a few lines on stderr, ends with the right exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from nemo_gym.errors import ConfigError, DataError, NemoGymError

MAX_ERROR_LINES = 10

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
"""The configuration, the command line or a data file is wrong: nothing was started."""
EXIT_INTERRUPTED = 130


def command(body: Callable[[list[str]], int]) -> NoReturn:
    """Run `body` with the arguments after the command's name and exit with the code it returns.

    The package's own errors become at most ten lines on stderr: exit code 2 for a wrong configuration, option or data
    file, 1 for anything else. Ctrl-C is 130. Any other exception is a defect of ours and keeps its stack trace.
    """
    try:
        code = body(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except (ConfigError, DataError) as error:
        _show(error)
        code = EXIT_BAD_INPUT
    except NemoGymError as error:
        _show(error)
        code = EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output (`| head`) is gone. Python flushes stdout once more at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def _show(error: NemoGymError) -> None:
    lines = str(error).splitlines() or [type(error).__name__]
    if len(lines) > MAX_ERROR_LINES:
        hidden = len(lines) - (MAX_ERROR_LINES - 1)
        lines = [*lines[: MAX_ERROR_LINES - 1], f"… and {hidden} more"]
    print("\n".join(lines), file=sys.stderr)
