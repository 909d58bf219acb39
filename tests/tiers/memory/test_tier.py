"""The memory tier with scripted models: who has a memory, when it is started, corrected, used and left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting import PromptSet
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import PointPrompt, Selection
from streamseg.tiers.contract import MemoryTier
from streamseg.tiers.memory import Seen, SessionMemoryTier
from tests.support.frames import make_frame
from tests.support.shapes import IMAGE_SIZE
from tests.support.tracked_shapes import BOX, CUP, KITE, click, frame_of

PLANTED = np.zeros(IMAGE_SIZE, np.bool_)
PLANTED[70:170, 60:100] = True
FOUND = Seen(CropMask.of(PLANTED), 0.9, 0.8)
GONE = Seen(CropMask.of(np.zeros(IMAGE_SIZE, np.bool_)), 0.1, 0.0)
EMPTY = Seen(GONE.mask, 0.9, 0.0)
OBJECTS = [(1, CUP), (8, BOX), (9, KITE)]
PROMPTS = (click(CUP.x, CUP.y, prompt_id="cup"), click(BOX.x, BOX.y, prompt_id="box"))


class Clock:
    """A clock that only the scripted model advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class ScriptedVideo:
    """A video model with planted answers and costs. Features are the number of the image."""

    def __init__(self, clock: Clock | None = None, *, encode_ms: float = 0.0, object_ms: float = 0.0) -> None:
        self.clock = clock if clock is not None else Clock()
        self.encode_ms, self.object_ms = encode_ms, object_ms
        self.answer: Seen = FOUND
        self.fault: Exception | None = None
        self.num_encoded = 0
        self.opened: list[ScriptedMemory] = []

    def encode(self, image: ImageArray) -> int:
        if self.fault is not None:
            raise self.fault
        self.clock.seconds += self.encode_ms / 1e3
        self.num_encoded += 1
        return self.num_encoded

    def open_object(self) -> ScriptedMemory:
        self.opened.append(ScriptedMemory(self))
        return self.opened[-1]


class ScriptedMemory:
    def __init__(self, shared: ScriptedVideo) -> None:
        self.shared = shared
        self.learnt: list[MaskArray] = []
        self.num_found = 0

    def learn(self, features: int, mask: MaskArray) -> None:
        assert features == self.shared.num_encoded
        assert mask.shape == IMAGE_SIZE
        assert mask.any()
        self.shared.clock.seconds += self.shared.object_ms / 1e3
        self.learnt.append(mask)

    def find(self, features: int) -> Seen:
        assert self.learnt, "nothing was learnt"
        assert features == self.shared.num_encoded
        self.shared.clock.seconds += self.shared.object_ms / 1e3
        self.num_found += 1
        return self.shared.answer


def selection(prompt_id: str, row: int, track_id: int, confidence: float = 1.0, state: str = "bound") -> Selection:
    status = PromptStatus(prompt_id, state, confidence, track_id)  # type: ignore[arg-type]
    return Selection(prompt_id, (row,) if row >= 0 else (), (confidence,) if row >= 0 else (), status=status)


CUP_SEEN, BOX_SEEN = selection("cup", 0, 1), selection("box", 1, 8)
CUP_LOST = selection("cup", -1, 1, 0.0, "lost")
WHOLE = selection("cup", 1, 8, 0.5)
"""Another object in place of the lost one, which it is the whole of."""


class Run:
    """A tier with its frame counter."""

    def __init__(self, model: ScriptedVideo, *, max_objects: int = 8, budget_ms: float = 1000.0) -> None:
        self.model = model
        self.tier = SessionMemoryTier(
            model, name="scripted", max_objects=max_objects, budget_ms=budget_ms, now=model.clock
        )
        self.index = -1

    def __call__(
        self,
        *selections: Selection,
        prompts: tuple[PointPrompt, ...] = PROMPTS,
        tracked: Tracked | None = None,
        source: str = "camera",
    ) -> list[Selection]:
        self.index += 1
        image = np.zeros((*IMAGE_SIZE, 3), np.uint8)
        frame = make_frame(self.index, image=image, source_id=source)
        chosen = PromptSet.of(prompts[: len(selections)])
        return self.tier.follow(frame, tracked if tracked is not None else frame_of(OBJECTS), chosen, selections)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.tier.report().counts)


def sources(selections: list[Selection]) -> list[str | None]:
    return [one.status.mask_source if one.status is not None else None for one in selections]


def test_it_is_a_memory_tier():
    tier: MemoryTier = SessionMemoryTier(ScriptedVideo(), name="scripted")
    assert tier.report().state == "working"


def test_a_memory_starts_with_the_trackers_mask_and_is_published_from_the_next_frame_on():
    run = Run(ScriptedVideo())
    assert run(CUP_SEEN) == [CUP_SEEN]
    (memory,) = run.model.opened
    assert memory.learnt[0][int(CUP.y), int(CUP.x)]
    (found,) = run(CUP_SEEN)
    assert found.mask is FOUND.mask
    assert (found.rows, found.scores) == ((), ())
    assert found.status == PromptStatus("cup", "bound", 0.9, 1, mask_quality=0.8, mask_source="memory")
    assert run.counts == {"started": 1, "followed": 1}


@pytest.mark.parametrize(
    ("own", "starts"),
    [
        pytest.param(CUP_SEEN, True, id="bound"),
        pytest.param(selection("cup", 0, -1, 0.5), True, id="without-track-id"),
        pytest.param(selection("cup", 0, 4, 0.9, "reacquired"), True, id="reacquired"),
        pytest.param(selection("cup", 0, 4, 0.2, "reacquired"), False, id="doubtful"),
        pytest.param(CUP_LOST, False, id="lost"),
        pytest.param(Selection("cup", (), (), status=PromptStatus("cup", "none")), False, id="none"),
        pytest.param(Selection("cup", (), (), mask=FOUND.mask, status=CUP_SEEN.status), True, id="propagated"),
        pytest.param(Selection("cup", (), (), mask=GONE.mask, status=CUP_SEEN.status), False, id="empty-mask"),
    ],
)
def test_start(own: Selection, starts: bool):
    run = Run(ScriptedVideo())
    assert run(own) == [own]
    assert run.counts.get("started", 0) == starts
    (again,) = run(own)
    assert (again is not own) == starts


@pytest.mark.parametrize(
    ("answer", "own", "is_corrected"),
    [
        pytest.param(GONE, CUP_SEEN, True, id="lost-and-corrected"),
        pytest.param(EMPTY, CUP_SEEN, True, id="empty-and-corrected"),
        pytest.param(GONE, CUP_LOST, False, id="both-lost"),
        pytest.param(GONE, WHOLE, False, id="a-whole-corrects-nothing"),
    ],
)
def test_a_loss(answer: Seen, own: Selection, is_corrected: bool):
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    run.model.answer = answer
    assert run(own) == [own], "the tracker's selection is published meanwhile"
    assert len(run.model.opened[0].learnt) == 1 + is_corrected
    assert run.counts.get("corrected", 0) == is_corrected
    assert run.counts["lost"] == 1
    run.model.answer = FOUND
    assert sources(run(own)) == ["memory"]


def test_what_the_tracker_has_lost_is_published_under_its_last_track_id():
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    (found,) = run(CUP_LOST, tracked=frame_of([(8, BOX)]))
    assert found.status is not None
    assert (found.status.state, found.status.track_id, found.status.mask_source) == ("bound", 1, "memory")


def test_a_mask_that_agrees_with_another_track_takes_its_id():
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    run.model.answer = Seen(CropMask.of(frame_mask(BOX)), 0.9, 0.8)
    (found,) = run(CUP_LOST)
    assert found.status is not None
    assert found.status.track_id == 8


def frame_mask(shape: object) -> MaskArray:
    mask = np.zeros(IMAGE_SIZE, np.bool_)
    x, y, width, height = (getattr(shape, one) for one in ("x", "y", "width", "height"))
    mask[int(y - height / 2) : int(y + height / 2), int(x - width / 2) : int(x + width / 2)] = True
    return mask


def test_prompts_come_change_and_go_without_restarting_others():
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    run(CUP_SEEN, BOX_SEEN)
    cup, box = run.model.opened
    assert (cup.num_found, len(box.learnt)) == (1, 1)
    changed = (PROMPTS[0], click(BOX.x + 3, BOX.y, prompt_id="box"))
    run(CUP_SEEN, BOX_SEEN, prompts=changed)
    assert len(run.model.opened) == 3, "the changed prompt starts afresh"
    run(CUP_SEEN)
    run(CUP_SEEN, BOX_SEEN)
    assert len(run.model.opened) == 4, "so does the one that was removed"
    assert (cup.num_found, len(cup.learnt)) == (4, 1)


def test_an_image_is_encoded_once_and_only_if_somebody_needs_it():
    run = Run(ScriptedVideo())
    run(CUP_SEEN, BOX_SEEN)
    assert run.model.num_encoded == 1
    run(CUP_LOST, prompts=(click(1, 1, prompt_id="cup"),))
    assert run.model.num_encoded == 1


def test_at_most_so_many_objects_have_a_memory():
    run = Run(ScriptedVideo(), max_objects=1)
    run(CUP_SEEN, BOX_SEEN)
    assert sources(run(CUP_SEEN, BOX_SEEN)) == ["memory", "proposal"]
    run(CUP_LOST, BOX_SEEN, prompts=(click(1, 1, prompt_id="cup"), PROMPTS[1]))
    assert sources(run(CUP_LOST, BOX_SEEN, prompts=(click(1, 1, prompt_id="cup"), PROMPTS[1]))) == [None, "memory"]


@pytest.mark.parametrize(
    ("budget_ms", "expected"),
    [
        pytest.param(100.0, ["memory", "memory"], id="both-fit"),
        pytest.param(35.0, ["memory", "proposal"], id="the-first-fits"),
        pytest.param(25.0, ["proposal", "proposal"], id="none-fits"),
    ],
)
def test_what_does_not_fit_the_budget_is_followed_by_the_tracker(budget_ms: float, expected: list[str]):
    run = Run(ScriptedVideo(encode_ms=20.0, object_ms=10.0), budget_ms=budget_ms)
    run.tier.warm_up(IMAGE_SIZE)
    for _ in range(3):
        before = run.model.clock.seconds
        found = run(CUP_SEEN, BOX_SEEN)
        assert (run.model.clock.seconds - before) * 1e3 <= budget_ms + 1e-6
    assert sources(found) == expected
    assert run.counts.get("over_budget", 0) == 3 * expected.count("proposal")


@given(st.floats(0, 60), st.floats(0, 60), st.floats(1, 200))
def test_a_model_of_steady_cost_never_exceeds_the_budget(encode_ms: float, object_ms: float, budget_ms: float):
    run = Run(ScriptedVideo(encode_ms=encode_ms, object_ms=object_ms), budget_ms=budget_ms)
    run.tier.warm_up(IMAGE_SIZE)
    for _ in range(4):
        before = run.model.clock.seconds
        run(CUP_SEEN, BOX_SEEN)
        assert (run.model.clock.seconds - before) * 1e3 <= budget_ms + 1e-6


def test_after_a_long_gap_the_tracker_corrects_the_memory():
    run = Run(ScriptedVideo(encode_ms=20.0, object_ms=10.0), budget_ms=50.0)
    run.tier.warm_up(IMAGE_SIZE)
    run(CUP_SEEN)
    run.tier._budget_ms = 1.0
    for _ in range(17):
        assert run(CUP_SEEN) == [CUP_SEEN]
    run.tier._budget_ms = 50.0
    assert run(CUP_SEEN) == [CUP_SEEN]
    assert run.counts["corrected"] == 1
    assert sources(run(CUP_SEEN)) == ["memory"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(RuntimeError("shapes differ"), id="error"),
        pytest.param(MemoryError(), id="out-of-memory"),
    ],
)
def test_a_model_that_raises_is_switched_off_and_the_run_goes_on(fault: Exception, caplog: pytest.LogCaptureFixture):
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    run.model.fault = fault
    assert run(CUP_SEEN) == [CUP_SEEN]
    run.model.fault = None
    assert run(CUP_SEEN) == [CUP_SEEN]
    report = run.tier.report()
    assert report.state == "failed"
    assert type(fault).__name__ in (report.error or "")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_sources_are_separate_and_forgotten():
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    assert run(CUP_SEEN, source="other") == [CUP_SEEN]
    run.tier.end_source("camera")
    run.tier.end_source("unknown")
    assert run(CUP_SEEN) == [CUP_SEEN]
    assert len(run.model.opened) == 3


def test_other_prompts_are_left_alone():
    run = Run(ScriptedVideo())
    unfollowed = click(CUP.x, CUP.y, prompt_id="cup", follow=False)
    assert run(CUP_SEEN, prompts=(unfollowed,)) == [CUP_SEEN]
    assert run() == []
    assert run.model.num_encoded == 0


def test_no_instances():
    run = Run(ScriptedVideo())
    run(CUP_SEEN)
    (found,) = run(CUP_LOST, tracked=frame_of([]))
    assert found.status is not None
    assert found.status.track_id == 1
