"""What can be said of a machine without running it; guards are taken to agree."""

from collections import deque

from turnstile.machine import ANY


def reachable(machine, start=None):
    """The states that can be reached from `start` (the present state), itself included, in alphabetical order."""
    first = machine.state if start is None else start
    found = {first}
    waiting = deque([first])
    while waiting:
        for _, target in _steps(machine, waiting.popleft()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return sorted(found)


def shortest_path(machine, source, target):
    """The fewest events from one state to another, [] where they are the same, None where there is no way."""
    paths = {source: []}
    waiting = deque([source])
    while waiting:
        state = waiting.popleft()
        if state == target:
            return paths[state]
        for event, following in _steps(machine, state):
            if following not in paths:
                paths[following] = [*paths[state], event]
                waiting.append(following)
    return None


def dead_ends(machine):
    """The states that no event leads out of to another one, in alphabetical order."""
    return [state for state in machine.states() if all(target == state for _, target in _steps(machine, state))]


def _steps(machine, state):
    """Events and targets from a state; those from ANY count unless it has its own transition for the event."""
    own = [(one.event, one.target) for one in machine.transitions if one.source == state]
    events = {event for event, _ in own}
    for one in machine.transitions:
        if one.source == ANY and one.event not in events:
            own.append((one.event, one.target))
    return own
