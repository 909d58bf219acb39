"""Runs on a machine that is too slow: deadlines, reduced quality, and shares."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from streamseg.config import BatchingConfig, DegradationConfig
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import SourceLimits
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.ladder import degradation_steps
from streamseg.structures.frame import Frame
from streamseg.structures.message import Message
from tests.support.runs import BackgroundRun
from tests.support.slow_machine import SlowMachine
from tests.support.stages import ListSink, ScriptedSource, fresh_frame

pytestmark = pytest.mark.usefixtures("no_thread_left")

DEADLINE_MS = 300.0
FPS = 10.0
FAST = DegradationConfig(after_seconds=0.5, recover_seconds=1.0)
REASONS = {"mailbox": {"newer_frame", "deadline", "degraded", "stopped"}, "publish": {"deadline"}}


@contextlib.contextmanager
def overloaded(machine: SlowMachine, sink: ListSink, source: ScriptedSource) -> Iterator[BackgroundRun]:
    """A run whose source has a deadline; it is stopped at the end."""
    runtime = Runtime(
        [source],
        Pipeline(machine),
        [sink],
        batching=BatchingConfig(max_batch=1),
        limits={source.source_id: SourceLimits(deadline_ns=round(DEADLINE_MS * 1e6))},
        steps=degradation_steps(FAST, machine),
        degradation=FAST,
    )
    run = BackgroundRun(runtime)
    try:
        yield run
    finally:
        runtime.stop()
        run.join()


def wait_for_step(sink: ListSink, step: int, seconds: float = 30.0) -> None:
    """Wait until a message of a frame of this step is published."""
    with sink.written:
        assert sink.written.wait_for(
            lambda: bool(sink.results) and sink.results[-1].message.degradation.step == step, seconds
        )


def messages(sink: ListSink) -> list[Message]:
    return [result.message for result in sink.results]


@pytest.mark.slow
def test_machine_five_times_too_slow_and_its_recovery():
    """A frame takes 5 deadlines; at half the input size and without refiner 0.625 of one, so that most are in time."""
    machine, sink = SlowMachine(seconds=5 * DEADLINE_MS / 1000), ListSink()
    source = ScriptedSource("cam", is_live=True, paced_seconds=1 / FPS)
    with overloaded(machine, sink, source) as run:
        wait_for_step(sink, 3)
        machine.seconds = 0.002
        wait_for_step(sink, 0)
    assert run.stats is not None
    published, drops = messages(sink), run.stats.drops
    assert max(message.age_ms for message in published) <= DEADLINE_MS, "no frame older than its deadline"
    for stage, reasons in drops.items():
        assert set(reasons) <= REASONS[stage]
    assert drops["publish"]["deadline"] > 0, "attempts at full quality"
    num_dropped = sum(sum(reasons.values()) for reasons in drops.values())
    on_their_way = source.num_delivered - len(published) - num_dropped
    assert 0 <= on_their_way <= 2, "every frame is published or counted"
    assert [message.frame_index for message in published] == sorted(message.frame_index for message in published)


# ---- shares, in simulated time


def served(rates: dict[str, float], weights: dict[str, float], *, network_fps: float, seconds: int) -> dict[str, float]:
    """Frames per second that each camera gets from a network that takes one frame at a time."""
    now_ns = 0
    queue = FrameQueue(
        dict.fromkeys(rates, True),
        Batcher(BatchingConfig(max_batch=1, deadline_ms=0)),
        limits={source_id: SourceLimits(weight=weight) for source_id, weight in weights.items()},
        now_ns=lambda: now_ns,
    )
    image = fresh_frame("any").image
    arrivals = sorted(
        (round((nth + 0.1 * place) / fps * 1e9), source_id, nth)
        for place, (source_id, fps) in enumerate(rates.items())
        for nth in range(round(fps * seconds))
    )
    counts: Counter[str] = Counter()
    free_ns = 0
    waiting = 0
    for arrived_ns, source_id, index in arrivals:
        while waiting and free_ns <= arrived_ns:
            now_ns = max(now_ns, free_ns)
            batch = queue.take()
            assert batch is not None
            counts.update(frame.source_id for frame in batch.frames)
            free_ns = now_ns + round(1e9 / network_fps)
            waiting = len(queue)
        now_ns = arrived_ns
        feed = queue.feed(source_id)
        if feed.unwanted() is None:
            feed.put(Frame(image, source_id, index, None, captured_ns=0, clock="arrival", received_ns=arrived_ns))
        waiting = len(queue)
        free_ns = max(free_ns, now_ns)
    return {source_id: counts[source_id] / seconds for source_id in rates}


SMALL = {f"small{n}": 10.0 for n in range(3)}


@pytest.mark.parametrize(
    ("network_fps", "weight", "small_fps", "large_fps"),
    [
        pytest.param(100, 1, 10, 60, id="enough for all"),
        pytest.param(40, 1, 8, 10, id="the small ones get nearly all their frames, the large one the rest"),
        pytest.param(20, 1, 5, 5, id="equal shares"),
        pytest.param(20, 3, 3, 9, id="three times the share"),
    ],
)
def test_fast_camera_does_not_starve_slow_ones(network_fps: float, weight: float, small_fps: float, large_fps: float):
    """One camera with 60 frames/s beside three with 10."""
    found = served({"large": 60.0, **SMALL}, {"large": weight}, network_fps=network_fps, seconds=30)
    print(network_fps, weight, found)
    for source_id in SMALL:
        assert found[source_id] == pytest.approx(small_fps, rel=0.25)
    assert found["large"] >= 0.9 * large_fps
