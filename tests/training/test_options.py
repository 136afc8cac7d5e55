"""Settings of the training loop: one source of defaults, and the learning rate of one cycle."""

from dataclasses import fields

import numpy as np

from advcli.catalog.requests import TrainRequest
from advcli.training.optimizer import lr_factor
from advcli.training.training_options import TrainingOptions


def test_the_loops_own_defaults_are_those_of_the_verb():
    asked, own = TrainRequest(), TrainingOptions(epochs=3)
    resolved = TrainingOptions.resolved(asked, 1000)
    assert resolved == TrainingOptions(epochs=40)
    assert TrainingOptions.resolved(TrainRequest(optimizer="sgd"), 20_000) == TrainingOptions(
        epochs=3, batch_size=128, optimizer="sgd", lr=0.05
    )
    for one in fields(TrainingOptions):
        if getattr(asked, one.name) is not None:
            assert getattr(own, one.name) == getattr(asked, one.name), one.name


def test_one_cycle_warms_up_to_the_full_rate_without_a_jump():
    course = [lr_factor("onecycle", step, 1000) for step in range(1001)]
    assert max(course) == course[300] == 1
    np.testing.assert_allclose(np.diff(course[:301]), 0.96 / 300, rtol=1e-6)
    assert (np.diff(course[300:]) < 0).all()
