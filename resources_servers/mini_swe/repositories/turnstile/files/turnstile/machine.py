"""One machine."""

ANY = "*"


class NotAllowed(RuntimeError):
    """An event that the present state does not take; `allowed` are those that it does."""

    def __init__(self, state, event, allowed):
        super().__init__(f"{event!r} in state {state!r}; allowed: {', '.join(allowed) or 'nothing'}")
        self.state = state
        self.event = event
        self.allowed = allowed


class Transition:
    """From `source` on `event` to `target`, if `guard` (a function of the event's data) says so."""

    def __init__(self, source, event, target, guard, action):
        self.source = source
        self.event = event
        self.target = target
        self.guard = guard
        self.action = action


class Machine:
    """A present state, and the transitions between states."""

    def __init__(self, initial, history_length=100):
        self.state = initial
        self.transitions = []
        self._initial = initial
        self._history = []
        self._history_length = history_length
        self._on_enter = {}
        self._on_leave = {}

    def add(self, source, event, target, guard=None, action=None):
        """Add a transition. Of several with the same source and event, the first whose guard agrees is taken."""
        self.transitions.append(Transition(source, event, target, guard, action))

    def on_enter(self, state, function):
        """Call `function(state)` whenever the state is entered from another one. There may be several."""
        self._on_enter.setdefault(state, []).append(function)

    def on_leave(self, state, function):
        """Call `function(state)` whenever the state is left for another one."""
        self._on_leave.setdefault(state, []).append(function)

    def fire(self, event, **data):
        """Take the event: leave the state, act, enter the target. Raises `NotAllowed`, and then nothing has changed."""
        transition = self._find(event, data)
        if transition is None:
            raise NotAllowed(self.state, event, self.allowed(**data))
        source = self.state
        if transition.target != source:
            self._tell(self._on_leave, source)
        if transition.action is not None:
            transition.action(data)
        self._remember(source, event)
        self.state = transition.target
        if transition.target != source:
            self._tell(self._on_enter, transition.target)
        return self.state

    def can(self, event, **data):
        """Whether the event would be taken."""
        return self._find(event, data) is not None

    def allowed(self, **data):
        """The events that would be taken, in alphabetical order."""
        events = {transition.event for transition in self.transitions}
        return sorted(event for event in events if self._find(event, data) is not None)

    def undo(self):
        """Go back to the state before the last event, without calling anything; False where nothing is left to undo."""
        if not self._history:
            return False
        self.state, _ = self._history.pop()
        return True

    @property
    def history(self):
        """The last events with the states in which they came, oldest first."""
        return list(self._history)

    def reset(self):
        """Back to the beginning, with an empty history."""
        self.state = self._initial
        self._history.clear()

    def states(self):
        """All states that transitions name, and the first one, in alphabetical order."""
        names = {self._initial}
        for transition in self.transitions:
            names |= {transition.source, transition.target}
        return sorted(names - {ANY})

    def _find(self, event, data):
        for source in (self.state, ANY):
            for transition in self.transitions:
                fits = transition.source == source and transition.event == event
                if fits and (transition.guard is None or transition.guard(data)):
                    return transition
        return None

    def _remember(self, state, event):
        self._history.append((state, event))
        if len(self._history) > self._history_length:
            del self._history[0]

    @staticmethod
    def _tell(functions, state):
        for function in functions.get(state, []):
            function(state)
