import unittest

from turnstile import Machine, NotAllowed


class MachineTest(unittest.TestCase):
    def test_an_event_changes_the_state(self):
        machine = Machine("locked")
        machine.add("locked", "coin", "open")
        self.assertEqual(machine.fire("coin"), "open")

    def test_an_unknown_event(self):
        with self.assertRaises(NotAllowed):
            Machine("locked").fire("push")
