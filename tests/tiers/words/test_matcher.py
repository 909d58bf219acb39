"""The text matcher with scripted detectors: every n-th frame, labels by track, background, faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from streamseg.errors import WeightsError
from streamseg.prompting.text import TextMatcher
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.tiers.words import Detections, DetectorMatcher
from tests.support.frames import make_frame
from tests.support.shapes import IMAGE_SIZE, Shape
from tests.support.tracked_shapes import BOX, KITE, frame_of

CUP = Shape(80, 120, 60, 90, "rectangle")
OBJECTS = [(1, CUP), (8, BOX), (9, KITE)]
CUP_PROMPT, BOX_PROMPT = TextPrompt("a", "cup"), TextPrompt("b", "box")


class ScriptedDetector:
    """A detector that finds planted shapes by text."""

    default_threshold = 0.3

    def __init__(self, **planted: tuple[Shape, float]) -> None:
        self.planted = planted
        self.fault: Exception | None = None
        self.asked: list[tuple[str, ...]] = []

    def unknown(self, texts: Sequence[str]) -> str | None:
        missing = [text for text in texts if text not in ("cup", "box")]
        return f"unknown: {', '.join(missing)}" if missing else None

    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        assert image.shape == (*IMAGE_SIZE, 3)
        assert threshold == 0.3
        self.asked.append(tuple(texts))
        if self.fault is not None:
            raise self.fault
        found = [(position, *self.planted[text]) for position, text in enumerate(texts) if text in self.planted]
        boxes = [
            [one.x - one.width / 2, one.y - one.height / 2, one.x + one.width / 2, one.y + one.height / 2]
            for _, one, _ in found
        ]
        return Detections.of(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([score for _, _, score in found], np.float32),
            np.array([position for position, _, _ in found], np.int64),
            IMAGE_SIZE,
        )


class Later:
    """A computation that is finished when told so."""

    def __init__(self, work: Callable[[], Detections]) -> None:
        self.work = work
        self.is_done = False

    def done(self) -> bool:
        return self.is_done

    def result(self) -> Detections:
        return self.work()


class Run:
    """A matcher of one source with its frame counter."""

    def __init__(self, detector: ScriptedDetector, *, every: int = 1, in_background: bool = False) -> None:
        self.detector = detector
        self.pending: list[Later] = []
        self.matcher = DetectorMatcher(
            lambda: detector, name="scripted", every=every, start=self._start if in_background else None
        )
        self.source = self.matcher.open_source()
        self.index = -1

    def _start(self, work: Callable[[], Detections]) -> Later:
        self.pending.append(Later(work))
        return self.pending[-1]

    def __call__(self, *prompts: TextPrompt, tracked: Tracked | None = None) -> dict[str, tuple[int, ...]]:
        """Return the rows by prompt id."""
        return {one.prompt_id: one.rows for one in self.selections(*prompts, tracked=tracked)}

    def selections(self, *prompts: TextPrompt, tracked: Tracked | None = None) -> list[Selection]:
        self.index += 1
        frame = make_frame(self.index, image=np.zeros((*IMAGE_SIZE, 3), np.uint8))
        return self.source(frame, tracked if tracked is not None else frame_of(OBJECTS), prompts)


def cup_and_box() -> ScriptedDetector:
    return ScriptedDetector(cup=(CUP, 0.9), box=(BOX, 0.6))


def test_it_is_a_text_matcher():
    matcher: TextMatcher = DetectorMatcher(cup_and_box, name="scripted")
    assert matcher.prepare() is matcher.prepare()


def test_the_detector_labels_instances():
    run = Run(cup_and_box())
    first, second = run.selections(CUP_PROMPT, BOX_PROMPT)
    assert first == Selection("a", (0,), (pytest.approx(0.9),))
    assert second == Selection("b", (1,), (pytest.approx(0.6),))
    assert run.detector.asked == [("cup", "box")]


def test_equal_texts_share_their_objects():
    run = Run(cup_and_box())
    assert run(CUP_PROMPT, TextPrompt("c", "cup")) == {"a": (0,), "c": (0,)}
    assert run.detector.asked == [("cup",)]


@pytest.mark.parametrize("every", [1, 3, 5])
def test_it_is_used_in_every_nth_frame(every: int):
    run = Run(cup_and_box(), every=every)
    for _ in range(11):
        assert run(CUP_PROMPT) == {"a": (0,)}
    assert len(run.detector.asked) == -(-11 // every)


def test_labels_follow_the_track_not_the_row():
    run = Run(cup_and_box(), every=4)
    run(CUP_PROMPT)
    assert run(CUP_PROMPT, tracked=frame_of([(9, KITE), (1, CUP)])) == {"a": (1,)}
    assert run(CUP_PROMPT, tracked=frame_of([(7, CUP)])) == {"a": ()}
    assert run(CUP_PROMPT, tracked=frame_of([])) == {"a": ()}


def test_an_object_without_a_track_id_is_labelled_in_the_frame_of_the_detection_only():
    run = Run(cup_and_box(), every=2)
    tentative = frame_of([(-1, CUP), (8, BOX)])
    assert run(CUP_PROMPT, tracked=tentative) == {"a": (0,)}
    assert run(CUP_PROMPT, tracked=tentative) == {"a": ()}


def test_a_new_text_does_not_wait_for_its_turn():
    run = Run(cup_and_box(), every=100)
    run(CUP_PROMPT)
    assert run(CUP_PROMPT, BOX_PROMPT) == {"a": (0,), "b": (1,)}
    assert run(BOX_PROMPT) == {"b": (1,)}
    assert len(run.detector.asked) == 2


def test_in_the_background_no_frame_waits():
    run = Run(cup_and_box(), every=2, in_background=True)
    for _ in range(5):
        assert run(CUP_PROMPT) == {"a": ()}
    assert run.detector.asked == []
    assert len(run.pending) == 1, "one at a time"
    run.pending[0].is_done = True
    moved = frame_of([(8, BOX), (1, CUP)])
    assert run(CUP_PROMPT, tracked=moved) == {"a": (1,)}
    assert len(run.pending) == 2


@pytest.mark.parametrize("in_background", [False, True])
def test_a_detector_that_raises_is_switched_off_and_the_run_goes_on(
    in_background: bool, caplog: pytest.LogCaptureFixture
):
    run = Run(cup_and_box(), in_background=in_background)
    run.detector.fault = RuntimeError("out of memory")
    run(CUP_PROMPT)
    for one in run.pending:
        one.is_done = True
    for _ in range(3):
        assert run(CUP_PROMPT) == {"a": ()}
    report = run.matcher.report()
    assert (report.tier, report.state, report.error) == ("words", "failed", "RuntimeError: out of memory")
    assert len(run.detector.asked) == 1
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1


def test_unknown_texts_are_reported_once(caplog: pytest.LogCaptureFixture):
    run = Run(cup_and_box())
    for _ in range(3):
        assert run(TextPrompt("d", "dragon")) == {"d": ()}
    assert [record.getMessage() for record in caplog.records] == ["unknown: dragon"]


def test_no_texts_use_no_detector():
    run = Run(cup_and_box())
    assert run() == {}
    assert run.detector.asked == []


def test_a_detector_that_cannot_be_loaded():
    def fail() -> ScriptedDetector:
        raise WeightsError("no such folder")

    with pytest.raises(WeightsError, match="no such folder"):
        DetectorMatcher(fail, name="missing").prepare()


def test_counts():
    run = Run(ScriptedDetector(cup=(CUP, 0.9), box=(Shape(40, 40, 10, 10, "rectangle"), 0.6)))
    run(CUP_PROMPT, BOX_PROMPT)
    assert run.matcher.report().counts == {"detections": 1, "labelled": 1, "unmatched": 1}
