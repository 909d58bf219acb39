import pytest

from benchmarks.prompt_tracking.scenes import NESTED, truth_steps

pytestmark = pytest.mark.slow


def test_steps_of_the_scene():
    steps = list(truth_steps(NESTED, 0, 3))
    assert [step.time_seconds for step in steps] == [0, 0.1, 0.2]
    for step in steps:
        assert len(step.truth) == len(step.instances) > 0
        assert step.instances.embeddings is not None
        assert len(set(step.truth.tolist())) == len(step.truth)
