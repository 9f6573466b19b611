"""An error in a server's own code, as users are told of it: file and line, what is wrong, what to do."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from nemo_gym.config.nearest import nearest

_MOST_LINES = 4
_MOST_CHARS = 300
_OWN_NAMESPACES = ("resources_servers", "responses_api_models", "responses_api_agents")


def explain(error: BaseException, folder: Path, seen_from: Path) -> str:
    """What `error` is and where in `folder` it arose, in a few lines; paths below `seen_from` are shown relative."""
    path, number, source = _place(error, folder)
    what = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SyntaxError):
        what = f"{type(error).__name__}: {error.msg}"
    lines = [line[:_MOST_CHARS] for line in what.splitlines()[:_MOST_LINES]]
    advice = "" if "Did you mean" in what else _advice(error, folder, seen_from)  # newer Pythons say it themselves
    shown = [f"{_relative(path, seen_from)}:{number}: {lines[0]}{advice}", *(f"  {line}" for line in lines[1:])]
    return "\n".join([*shown, f"    {source}"] if source else shown)


def own_frames(error: BaseException, *, without: frozenset[str]) -> str:
    """Its traceback as text, without the first frames, if they are of files in `without`: they only started it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in without:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _place(error: BaseException, folder: Path) -> tuple[Path, int, str]:
    """File, line number and source line: the innermost place in `folder`, or the innermost of all."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return Path(error.filename), error.lineno or 0, (error.text or "").strip()
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    innermost = (own or frames)[-1]
    return Path(innermost.filename), innermost.lineno or 0, (innermost.line or "").strip()


def _advice(error: BaseException, folder: Path, seen_from: Path) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        beside = nearest(error.name, [path.stem for path in folder.glob("*.py")])
        if beside is not None:
            return f"; did you mean `{beside}`?"
        if error.name.partition(".")[0] not in _OWN_NAMESPACES:
            requirements = _relative(folder / "requirements.txt", seen_from)
            return f"; if that is a package, list it in {requirements}, and it is installed for this server"
    elif isinstance(error, ImportError) and error.name in sys.modules:
        wanted = re.search(r"cannot import name '(\w+)'", str(error))
        best = nearest(wanted[1], vars(sys.modules[error.name])) if wanted else None
        return f"; did you mean `{best}`?" if best is not None else ""
    return ""


def _relative(path: Path, seen_from: Path) -> Path:
    return path.relative_to(seen_from) if path.is_relative_to(seen_from) else path
