"""Settings of the training loop: one source of defaults."""

from dataclasses import fields

from advcli.catalog.requests import TrainRequest
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
