"""Models as new without a new graph: to trace the step of a small model takes seconds.

For tests of what a model does. One that changes the code which a step is traced from (by
monkeypatch), or whose model outlives it, takes a model that is new: `make.new()`.
"""

import functools

_idle, _lent = {}, []


def recycled(make, key=lambda *args, **settings: (args, sorted(settings.items()))):
    """Let a function that makes a compiled model give an earlier one, set back to its start.

    Within a test each call gives another model. Every variable is set back: weights, moving
    averages, the state of the draws, metrics, and those of the optimizer.

    Args:
        make: The function.
        key: Of the same arguments: what must be equal of two models, so that one is as the other.
    """

    @functools.wraps(make)
    def lend(*args, **settings):
        kind = (make.__module__, make.__qualname__, repr(key(*args, **settings)))
        idle = _idle.setdefault(kind, [])
        if idle:
            model, optimizer, start = idle.pop()
            for variable, value in start:
                variable.assign(value)
        else:
            model = make(*args, **settings)
            optimizer = model.optimizer
            optimizer.build(model.trainable_variables)
            variables = [*model.variables, *model.metrics_variables, *optimizer.variables]
            start = [(variable, variable.numpy()) for variable in variables]
        _lent.append((idle, model, optimizer, start))
        return model

    lend.new = make
    return lend


def take_back():
    """Take back what was lent, but for models that were compiled anew or given other weights."""
    while _lent:
        idle, model, optimizer, start = _lent.pop()
        if model.optimizer is optimizer:
            idle.append((model, optimizer, start))


def forget(module):
    """Let go of the models that a module's own functions made."""
    for kind in [kind for kind in _idle if kind[0] == module]:
        del _idle[kind]
