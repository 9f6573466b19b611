"""The verdict cannot be forged by the code that is tested, nor by whatever else a policy puts into the repository."""

from __future__ import annotations

import pytest

from nemo_gym.errors import SandboxError
from resources_servers.mini_swe.tests.sandbox_here import needs_sandbox
from resources_servers.mini_swe.verifier import HiddenTests, Verdict, package_names, run_hidden_tests

RIGHT = """
class TooMuch(ValueError):
    def __init__(self, value):
        super().__init__(f"{value} is too much")
        self.value = value

class Counter:
    def __init__(self, told=None):
        self.total, self.told = 0, told
    def add(self, value):
        if value > 9:
            raise TooMuch(value)
        self.total += value
        if self.told is not None:
            self.told(self.total)
        return self
    def __eq__(self, other):
        return isinstance(other, Counter) and self.total == other.total
    __hash__ = None
    def __iter__(self):
        return iter(range(self.total))

def total(values):
    return sum(values)
"""
WRONG = RIGHT.replace("return sum(values)", "return 0").replace("value > 9", "value > 99")
TESTS = """
import unittest
import tally
from tally import Counter, TooMuch, total

class TallyTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2, 4]), 7)

    def test_too_much(self):
        with self.assertRaises(TooMuch) as caught:
            Counter().add(10)
        self.assertEqual((caught.exception.value, str(caught.exception)), (10, "10 is too much"))
        with self.assertRaisesRegex(ValueError, "11"):
            tally.Counter().add(11)

    def test_objects(self):
        told = []
        counter = Counter(told.append).add(2).add(3)
        self.assertEqual((told, counter.total, list(counter)), ([2, 5], 5, [0, 1, 2, 3, 4]))
        self.assertTrue(counter == Counter().add(5))
        self.assertFalse(counter == Counter())
        self.assertIsInstance(counter, Counter)
        self.assertNotEqual(counter, 5)
"""
NAMES = ("test_too_much", "test_total", "test_objects")
HIDDEN = HiddenTests(
    {"test_tally.py": TESTS},
    fail_to_pass=[f"test_tally.TallyTest.{name}" for name in NAMES[:2]],
    pass_to_pass=[f"test_tally.TallyTest.{name}" for name in NAMES[2:]],
)


pytestmark = needs_sandbox


async def verdict(files: dict[str, str], tests: HiddenTests = HIDDEN, test_timeout_s: float = 10.0) -> Verdict:
    pristine = {"tally.py": WRONG}
    return await run_hidden_tests({**pristine, **files}, pristine, tests, backend="auto", test_timeout_s=test_timeout_s)


def short(names: object) -> set[str]:
    return {str(name).rpartition(".")[2] for name in names}  # type: ignore[attr-defined]


async def test_a_right_solution_passes_and_a_wrong_one_fails_just_what_it_breaks() -> None:
    right = await verdict({"tally.py": RIGHT})
    assert right.resolved and right.share == 1.0
    wrong = await verdict({})
    assert short(wrong.failed) == {"test_total", "test_too_much"}
    assert wrong.failed["test_tally.TallyTest.test_total"] == "AssertionError: 0 != 7"
    assert (wrong.fail_to_pass_share, wrong.pass_to_pass_share, wrong.share) == (0.0, 1.0, 0.0)


FORGERIES = {
    "ends the process at import": "import os\nos._exit(0)\n",
    "ends Python at import": "raise SystemExit(0)\n",
    "skips": "import unittest\nraise unittest.SkipTest('nothing to see')\n",
    "kills everything": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
    "loops": "while True: pass\n",
    "floods": "print('x' * 50_000_000)\n" + WRONG,
    "patches unittest": WRONG
    + "import unittest\nunittest.TestCase.assertEqual = unittest.TestCase.assertRaises = lambda *a, **k: None\n"
    + "unittest.TestCase.run = lambda self, result=None: None\n",
    "equals everything": WRONG
    + "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    + "    def __hash__(self): return 7\ndef total(values): return Any()\n",
    "is a number that equals everything": WRONG
    + "class Any(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 7\n"
    + "def total(values): return Any(7)\n",
    "prints a verdict": WRONG
    + "import glob, json\n"
    + f"names = {[f'test_tally.TallyTest.{name}' for name in NAMES]!r}\n"
    + "line = json.dumps({'token': None, 'verdict': dict.fromkeys(names)})\n"
    + "print(line, flush=True)\n"
    + "for path in glob.glob('/proc/[0-9]*/fd/[12]'):\n"
    + "    try: open(path, 'w').write(line + chr(10))\n"
    + "    except OSError: pass\n",
    "answers before it is asked": WRONG
    + "import os\nfor handle in range(3, 30):\n"
    + "    try: os.write(handle, b'[\"value\", 7]\\n' * 20)\n"
    + "    except OSError: pass\n",
    "says what is no message": "import os\nfor handle in range(3, 30):\n"
    + "    try: os.write(handle, b'[' * 100_000 + b'\\n[]\\n{}\\n[\"value\", {\"set\": [[1]]}]\\n')\n"
    + "    except OSError: pass\n",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_module_that_tampers_with_its_tests_does_not_pass_them(name: str) -> None:
    found = await verdict({"tally.py": FORGERIES[name]}, test_timeout_s=0.3 if name == "loops" else 10.0)
    assert {"test_total", "test_too_much"} & short(found.failed), found


async def test_files_that_test_runners_or_python_read_change_nothing() -> None:
    pass_all = "import unittest\nunittest.TestCase.run = lambda *a, **k: None\nraise SystemExit(0)\n"
    names = ("conftest.py", "sitecustomize.py", "usercustomize.py", "unittest.py", "json.py", "test_tally.py")
    extra = dict.fromkeys(names, pass_all) | {
        "pytest.ini": "[pytest]\naddopts = --co\n",
        "setup.cfg": "",
        "tally/x": "",
    }
    assert short((await verdict(extra)).failed) == {"test_total", "test_too_much"}
    assert (await verdict({**extra, "tally.py": RIGHT})).resolved


async def test_the_package_finds_neither_the_tests_nor_their_token_in_other_processes() -> None:
    spy = RIGHT + (
        "import glob, os\n"
        "def spied():\n"
        "    runner = [pid for pid in map(int, filter(str.isdigit, os.listdir('/proc')))\n"
        "              if b'hidden_tests.runner' in open(f'/proc/{pid}/cmdline', 'rb').read()]\n"
        "    opened = []\n"
        "    for path in [f'/proc/{pid}/{name}' for pid in runner for name in ('mem', 'environ', 'fd/0', 'fd/1')]:\n"
        "        try:\n"
        "            open(path, 'rb').read(1)\n"
        "            opened.append(path)\n"
        "        except OSError:\n"
        "            pass\n"
        "    words = [open(path, 'rb').read() for path in glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/work/**')]\n"
        "    return len(runner) > 0, opened, any(b'Tally' + b'Test' in text for text in words)\n"
    )
    source = (
        "import unittest\nfrom tally import spied\n\n\nclass TallyTest(unittest.TestCase):\n"
        "    def test_spied(self):\n        self.assertEqual(spied(), (True, [], False))\n"
    )
    tests = HiddenTests({"test_spy.py": source}, ["test_spy.TallyTest.test_spied"])
    assert (await verdict({"tally.py": spy}, tests)).failed == {}


async def test_tests_that_cannot_be_run_anywhere_are_a_failure_and_no_verdict() -> None:
    with pytest.raises(SandboxError, match="not even on the repository without changes"):
        everything = {"tally.py": FORGERIES["kills everything"]}
        await run_hidden_tests(everything, everything, HIDDEN, backend="auto", test_timeout_s=1.0)


async def test_a_test_that_is_named_but_not_there_fails() -> None:
    tests = HiddenTests(HIDDEN.sources, ["test_tally.TallyTest.test_other", "test_none.TallyTest.test_x"])
    assert len((await verdict({"tally.py": RIGHT}, tests)).failed) == 2


def test_packages_are_the_top_level_names_of_a_repository_without_its_tests() -> None:
    assert package_names({"a/b.py": "", "c.py": "", "tests/test_a.py": "", "setup.py": "", "README.md": ""}) == [
        "a",
        "c",
    ]
