"""Verdicts by solution: the same files and tests are tried once, as when members of a group write the same patch."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping

from resources_servers.mini_swe.verifier import HiddenTests, Verdict, run_hidden_tests


class Verdicts:
    """Runs hidden tests, and remembers the `size` verdicts used last."""

    def __init__(self, backend: str, test_timeout_s: float, size: int) -> None:
        self._backend, self._test_timeout_s, self._size = backend, test_timeout_s, size
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    async def on(self, files: Mapping[str, str], pristine: Mapping[str, str], tests: HiddenTests) -> Verdict:
        """As `run_hidden_tests`, which is not called for what is known."""
        key = _digest(files, tests)
        verdict = self._known.pop(key, None)
        if verdict is None:
            verdict = await run_hidden_tests(
                files, pristine, tests, backend=self._backend, test_timeout_s=self._test_timeout_s
            )
        self._known[key] = verdict
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return verdict


def _digest(files: Mapping[str, str], tests: HiddenTests) -> bytes:
    told = [dict(files), dict(tests.sources), list(tests.fail_to_pass), list(tests.pass_to_pass)]
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).digest()
