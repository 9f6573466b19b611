"""What a command in a sandbox costs, beside the same command without one: milliseconds of wall-clock time.

python -m tests.benchmarks.sandbox
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from nemo_gym.sandbox import open_sandbox, require_backend
from tests.benchmarks.table import machine, markdown_table


async def bare() -> None:
    process = await asyncio.create_subprocess_exec("/bin/true")
    await process.wait()


async def measured(repeats: int) -> list[tuple[str, str, str]]:
    rows = []

    def add(what: str, times: list[float]) -> None:
        rows.append((what, f"{1000 * statistics.median(times):.1f}", f"{1000 * min(times):.1f}"))

    async def timed(call: object) -> list[float]:
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            await call()  # type: ignore[operator]
            times.append(time.perf_counter() - started)
        return times

    add("/bin/true, no sandbox", await timed(bare))
    for backend in ("subprocess_not_secure", "bubblewrap"):
        await require_backend(backend)
        async with open_sandbox(backend) as sandbox:
            add(f"/bin/true, {backend}", await timed(lambda sandbox=sandbox: sandbox.run(["/bin/true"])))
            add(
                f"python -c pass, {backend}", await timed(lambda sandbox=sandbox: sandbox.run(["python", "-c", "pass"]))
            )

        async def whole(backend: str = backend) -> None:
            async with open_sandbox(backend, files={"a": "1"}) as sandbox:
                await sandbox.run(["/bin/true"])

        add(f"open, one file, /bin/true, close, {backend}", await timed(whole))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    print(machine())
    print(markdown_table(("what", "median ms", "least ms"), asyncio.run(measured(options.repeats))))
