"""What a training says while it runs: what has gone by, and what follows from that."""

import re

import pytest
from tiny_tasks import make_task, tiny_backbone

import tlcourse as tl
from tlcourse.engines import pytorch
from tlcourse.training.finetune import freeze
from tlcourse.training.history import History
from tlcourse.training.settings import Settings
from tlcourse.widgets import training_job
from tlcourse.widgets.training_job import Job
from tlcourse.widgets.training_runs import TrainingCurve


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def task():
    return make_task()


def job_of(task, network=None, epochs=1):
    settings = Settings(epochs=epochs, learning_rate=0.003, batch_size=6, progress=False)
    return Job(TrainingCurve("run 1"), network, task, settings)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("until", [None, "stage4", "embedding"])
def test_progress_follows_fit_and_ends_at_the_end(task, until, stored, monkeypatch):
    monkeypatch.setattr(pytorch, "fast_batch_size", lambda _: 4)
    for _ in range(1 + stored):
        network = tl.Network(tiny_backbone(), 3)
        freeze(network, until)
        said = []
        job_of(task, network, epochs=2).train(lambda: False, said.append, lambda _: None)
    assert "Getting ready; 0.0 s so far" in said[0]
    shares = [float(found[1]) for found in (re.search(r'value="(.*?)"', s) for s in said) if found]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1
    assert any("Epoch 1 of 2, step 2 of 3;" in s for s in said)
    assert "Epoch 2 of 2, validation pictures;" in said[-1]
    assert any("frozen part gives, batch 2;" in s for s in said) == (
        until is not None and not stored
    )
    assert "Epoch 2 of 2, step 3 of 3;" in [s for s in said if "step" in s][-1]


def test_the_time_that_is_left_follows_from_the_steps_so_far(task, monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock, said = Clock(), []
    monkeypatch.setattr(training_job, "time", clock)
    durations = [100, 100, *[2] * 6]  # two batches of the frozen part, then 6 steps

    def fit(network, task, settings, *, on_step, **_):
        for seconds in durations:
            clock.now += seconds
            network.training = seconds == 2
            on_step()
        return History((), 0, "", 0.0, 0.0, 0, 6, None)

    monkeypatch.setattr(training_job, "fit", fit)
    network = tl.Network(tiny_backbone(), 3)
    job_of(task, network, epochs=2).train(lambda: False, said.append, lambda _: None)
    assert "batch 2; 3 min 20 s so far" in said[2]
    assert said[3].endswith("Epoch 1 of 2, step 1 of 3; 3 min 22 s so far, about 10 s left")
    assert said[-1].endswith("Epoch 2 of 2, step 3 of 3; 3 min 32 s so far, about 0 s left")
