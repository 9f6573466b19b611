import unittest

from turnstile import ANY, Machine, NotAllowed, dead_ends, reachable, shortest_path


def door():
    machine = Machine("closed")
    machine.add("closed", "open", "opened")
    machine.add("opened", "close", "closed")
    machine.add("closed", "lock", "locked", guard=lambda data: data.get("key") == 7)
    machine.add("locked", "unlock", "closed")
    machine.add(ANY, "burn", "ashes")
    machine.add("locked", "burn", "locked")
    return machine


class EventTest(unittest.TestCase):
    def test_fire(self):
        """An event leads from the present state to the target, and the new state is returned."""
        machine = door()
        self.assertEqual([machine.fire("open"), machine.fire("close"), machine.state], ["opened", "closed", "closed"])

    def test_guard(self):
        """A transition whose guard disagrees is not taken; the guard gets the event's data."""
        machine = door()
        self.assertFalse(machine.can("lock"))
        self.assertFalse(machine.can("lock", key=6))
        self.assertTrue(machine.can("lock", key=7))
        with self.assertRaises(NotAllowed):
            machine.fire("lock", key=1)
        self.assertEqual(machine.state, "closed")
        self.assertEqual(machine.fire("lock", key=7), "locked")

    def test_first_guard(self):
        """Of several transitions for one event, the first whose guard agrees is taken."""
        machine = Machine("start")
        machine.add("start", "go", "small", guard=lambda data: data["n"] < 10)
        machine.add("start", "go", "medium", guard=lambda data: data["n"] < 100)
        machine.add("start", "go", "large")
        for number, state in ((5, "small"), (50, "medium"), (500, "large")):
            machine.reset()
            self.assertEqual(machine.fire("go", n=number), state)

    def test_any(self):
        """A transition from ANY is taken in every state that has none of its own for the event."""
        machine = door()
        self.assertEqual(machine.fire("burn"), "ashes")
        machine = door()
        machine.fire("lock", key=7)
        self.assertEqual(machine.fire("burn"), "locked")

    def test_any_added_first(self):
        """A state's own transition goes before one from ANY, also where that was added first."""
        machine = Machine("a")
        machine.add(ANY, "go", "b")
        machine.add("a", "go", "c")
        self.assertEqual(machine.fire("go"), "c")
        self.assertEqual(machine.fire("go"), "b")

    def test_not_allowed(self):
        """`NotAllowed` tells the state, the event, and in alphabetical order what would be allowed."""
        machine = door()
        with self.assertRaises(NotAllowed) as caught:
            machine.fire("close")
        error = caught.exception
        self.assertEqual((error.state, error.event, error.allowed), ("closed", "close", ["burn", "open"]))
        self.assertEqual(machine.allowed(key=7), ["burn", "lock", "open"])
        self.assertEqual(machine.history, [])


class CallTest(unittest.TestCase):
    def setUp(self):
        self.calls = []
        self.machine = Machine("a")
        self.machine.on_leave("a", lambda state: self.calls.append(f"leave {state}"))
        self.machine.on_enter("b", lambda state: self.calls.append(f"enter {state}"))
        self.machine.on_enter("b", lambda state: self.calls.append("enter again"))
        self.machine.add("a", "go", "b", action=lambda data: self.calls.append(f"act {data}"))
        self.machine.add("b", "stay", "b", action=lambda data: self.calls.append("stay"))

    def test_order(self):
        """First the state is left, then the action is done with the event's data, then the target is entered."""
        self.machine.fire("go", n=1)
        self.assertEqual(self.calls, ["leave a", "act {'n': 1}", "enter b", "enter again"])

    def test_same_state(self):
        """A transition to the same state does its action, but neither leaves nor enters."""
        self.machine.fire("go")
        self.calls.clear()
        self.machine.fire("stay")
        self.assertEqual(self.calls, ["stay"])
        self.assertEqual(len(self.machine.history), 2)

    def test_state_during_calls(self):
        """While the target is entered, the machine is in it already."""
        seen = []
        self.machine.on_leave("a", lambda state: seen.append(self.machine.state))
        self.machine.on_enter("b", lambda state: seen.append(self.machine.state))
        self.machine.fire("go")
        self.assertEqual(seen, ["a", "b"])

    def test_failing_action(self):
        """Where an action raises, the state and the history stay as they were."""
        self.machine.add("a", "fail", "b", action=lambda data: data["nothing"])
        with self.assertRaises(Exception):  # noqa: B017 - of whatever class
            self.machine.fire("fail")
        self.assertEqual((self.machine.state, self.machine.history), ("a", []))


class HistoryTest(unittest.TestCase):
    def test_history(self):
        """The history holds the states with the events that came in them, oldest first."""
        machine = door()
        machine.fire("open")
        machine.fire("close")
        self.assertEqual(machine.history, [("closed", "open"), ("opened", "close")])

    def test_undo(self):
        """`undo` goes back one event at a time until nothing is left, and says whether it did."""
        machine = door()
        machine.fire("open")
        machine.fire("burn")
        self.assertEqual([machine.undo(), machine.state], [True, "opened"])
        self.assertEqual([machine.undo(), machine.state], [True, "closed"])
        self.assertEqual([machine.undo(), machine.state], [False, "closed"])

    def test_bounded(self):
        """The history keeps the latest events up to its length."""
        machine = Machine("a", history_length=2)
        machine.add("a", "x", "b")
        machine.add("b", "y", "c")
        machine.add("c", "z", "a")
        for event in ("x", "y", "z"):
            machine.fire(event)
        self.assertEqual(machine.history, [("b", "y"), ("c", "z")])

    def test_reset(self):
        """`reset` goes back to the first state with an empty history."""
        machine = door()
        machine.fire("open")
        machine.reset()
        self.assertEqual((machine.state, machine.history, machine.undo()), ("closed", [], False))


class AnalysisTest(unittest.TestCase):
    def machine(self):
        machine = Machine("a")
        for source, event, target in (
            ("a", "1", "b"),
            ("b", "2", "c"),
            ("c", "3", "d"),
            ("b", "4", "d"),
            ("d", "5", "d"),
        ):
            machine.add(source, event, target)
        machine.add("x", "6", "a")
        return machine

    def test_reachable(self):
        """`reachable` lists what can be reached in any number of events, the start included."""
        self.assertEqual(reachable(self.machine()), ["a", "b", "c", "d"])
        self.assertEqual(reachable(self.machine(), "d"), ["d"])
        self.assertEqual(reachable(door()), ["ashes", "closed", "locked", "opened"])

    def test_shortest_path(self):
        """`shortest_path` finds the fewest events, none from a state to itself, and None where there is no way."""
        machine = self.machine()
        self.assertEqual(shortest_path(machine, "a", "d"), ["1", "4"])
        self.assertEqual(shortest_path(machine, "b", "b"), [])
        self.assertIsNone(shortest_path(machine, "d", "a"))
        self.assertEqual(shortest_path(machine, "x", "c"), ["6", "1", "2"])
        machine = Machine("a")
        for source, event, target in (
            ("a", "1", "b"),
            ("a", "2", "c"),
            ("c", "3", "d"),
            ("d", "4", "e"),
            ("b", "5", "e"),
        ):
            machine.add(source, event, target)
        self.assertEqual(shortest_path(machine, "a", "e"), ["1", "5"])

    def test_dead_ends(self):
        """Dead ends are the states that no event leads out of; going to itself does not count as out."""
        self.assertEqual(dead_ends(self.machine()), ["d"])
        self.assertEqual(dead_ends(door()), ["ashes"])

    def test_states(self):
        """`states` lists every state that is named, the first one too, but not ANY."""
        self.assertEqual(door().states(), ["ashes", "closed", "locked", "opened"])
        self.assertEqual(Machine("alone").states(), ["alone"])

    def test_any_in_analysis(self):
        """In the analysis, too, a state's own transition takes the place of one from ANY for the same event."""
        machine = Machine("a")
        machine.add(ANY, "go", "b")
        machine.add("a", "go", "a")
        self.assertEqual(reachable(machine), ["a"])
        self.assertEqual(dead_ends(machine), ["a", "b"])
