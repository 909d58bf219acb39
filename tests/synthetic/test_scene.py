import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.capture import open_source
from streamseg.capture.scene import RenderedScene, newest_due
from streamseg.config import SceneSource
from streamseg.synthetic import SceneRenderer
from streamseg.synthetic.background import BACKDROPS, paint_backdrop
from streamseg.synthetic.raster import Canvas, Sprite
from streamseg.synthetic.renderer import MIN_VISIBLE_PIXELS, Placement, compose, measure
from streamseg.synthetic.shapes.registry import FIGURES, draw_figure
from streamseg.synthetic.textures import TEXTURES
from streamseg.synthetic.trajectory import draw_passage
from tests.support.frames import take

SIZE = (180, 320)


@pytest.fixture(scope="module")
def renderer():
    return SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=3)


def recoloured(sprite, rgb):
    """The sprite with every colour replaced by one, its shadow left out."""
    rgba = np.dstack([(sprite.coverage.astype(np.float64) * value / 255) for value in rgb] + [sprite.coverage])
    return Sprite(np.round(rgba).astype(np.uint8), sprite.coverage, sprite.parts, sprite.outline)


def test_same_seed_same_pictures_in_any_order(renderer):
    again = SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=3)
    backwards = {index: again.render(index) for index in (900, 40, 7, 0)}
    for index in (0, 7, 40, 900):
        np.testing.assert_array_equal(renderer.render(index), backwards[index])
        np.testing.assert_array_equal(renderer.truth(index).track_ids, again.truth(index).track_ids)
    assert not np.array_equal(SceneRenderer(SIZE[1], SIZE[0], num_objects=10, seed=4).render(0), renderer.render(0))


def test_a_picture_is_the_callers_own(renderer):
    picture = renderer.render(5)
    picture[:] = 0
    assert renderer.render(5).any()


def test_speed_is_in_seconds_not_in_frames():
    slow = SceneRenderer(160, 96, num_objects=4, seed=1, fps=10)
    fast = SceneRenderer(160, 96, num_objects=4, seed=1, fps=50)
    np.testing.assert_array_equal(slow.render(20), fast.render(100))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 4), index=st.integers(0, 20_000))
def test_truth_invariants(seed, index):
    truth = SCENES[seed].truth(index)
    count = len(truth.track_ids)
    assert truth.boxes.shape == (count, 4)
    assert truth.boxes.dtype == np.float32
    assert truth.track_ids.dtype == np.int64
    assert truth.is_part.shape == (count,)
    assert len(set(truth.track_ids.tolist())) == count
    taken = np.zeros(SIZE, bool)
    whole = np.zeros(SIZE, bool)
    for mask, box, is_part in zip(truth.masks, truth.boxes, truth.is_part, strict=True):
        full = mask.full(SIZE)  # raises where the crop leaves the picture
        assert mask.area >= MIN_VISIBLE_PIXELS
        ys, xs = np.nonzero(full)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        if is_part:
            assert not (full & ~whole).any(), "a part lies inside its whole"
        else:
            assert not (full & taken).any(), "objects are disjoint"
            taken |= full
            whole = full


SCENES = [SceneRenderer(SIZE[1], SIZE[0], num_objects=12, seed=seed) for seed in range(5)]


def test_masks_are_exactly_the_pixels_drawn():
    """Each object painted in a colour of its own: its pixels are those where that colour has half or more."""
    rng = np.random.default_rng(0)
    sprites = [draw_figure(FIGURES[name], 90, rng) for name in ("ring", "chair", "person", "gear")]
    for turn in range(4):
        placements = []
        for position, sprite in enumerate(sprites):
            angle = 0.7 * turn + position
            linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = np.column_stack([linear * 0.9, [60 + 55 * position + 3.3 * turn, 70.7 + 9 * position]])
            placements.append(Placement(sprite, matrix, position * 9))
        for position, placement in enumerate(placements):
            # White for the one in question, black for those in front of it and behind it.
            painted = [
                Placement(
                    recoloured(other.sprite, (255, 255, 255) if other is placement else (0, 0, 0)), other.matrix, 0
                )
                for other in placements[position:]
            ]
            alone = compose(np.zeros((*SIZE, 3), np.uint8), painted[:1])[..., 0] >= 128
            hidden = np.zeros(SIZE, bool)
            for other in placements[position + 1 :]:
                white = Placement(recoloured(other.sprite, (255, 255, 255)), other.matrix, 0)
                hidden |= compose(np.zeros((*SIZE, 3), np.uint8), [white])[..., 0] >= 128
            truth = measure(SIZE, placements)
            row = truth.track_ids.tolist().index(position * 9)
            np.testing.assert_array_equal(truth.masks[row].full(SIZE), alone & ~hidden)


def test_the_picture_changes_only_where_an_object_or_its_shadow_is(renderer):
    """Outside all masks the picture is the background, but for soft edges and shadows, which are darker."""
    index = 40
    background = SceneRenderer(SIZE[1], SIZE[0], num_objects=0, seed=3).render(0)
    picture, truth = renderer.render(index), renderer.truth(index)
    covered = np.zeros(SIZE, np.uint8)
    for mask in truth.masks:
        covered |= mask.full(SIZE).astype(np.uint8)
    outside = cv2.dilate(covered, np.ones((5, 5), np.uint8)) == 0
    difference = (picture.astype(int) - background)[outside]
    # An object that is just coming in shows too few pixels to be in the truth.
    assert np.count_nonzero((difference > 1).any(axis=1)) < MIN_VISIBLE_PIXELS
    assert np.count_nonzero((difference < -1).any(axis=1)) < 0.05 * outside.sum()
    changed = np.abs(picture.astype(int) - background).max(axis=2) > 8
    assert np.count_nonzero(changed & (covered > 0)) > 0.9 * covered.sum(), "objects differ from the background"


@pytest.mark.parametrize("kind", sorted(BACKDROPS))
@pytest.mark.parametrize(
    "size", [pytest.param((97, 131), id="odd"), pytest.param((64, 16), id="narrow"), pytest.param((16, 64), id="low")]
)
def test_every_backdrop(kind, size):
    backdrop = paint_backdrop(kind, *size, np.random.default_rng(2))
    assert backdrop.shape == (*size, 3)
    assert backdrop.dtype == np.uint8
    assert backdrop.std() > 2, "not one flat colour"


@pytest.mark.parametrize("name", sorted(TEXTURES))
def test_every_texture(name):
    field = TEXTURES[name](40, 23, np.random.default_rng(0))
    assert field.shape == (40, 23)
    assert field.dtype == np.float32
    assert 0.3 < field.min() <= field.mean() <= field.max() < 2
    assert 0.75 < field.mean() < 1.25


def test_canvas_ignores_a_shape_outside_of_it():
    canvas = Canvas(32, 1.0, np.random.default_rng(0))
    canvas.paint(canvas.ellipse((5.0, 5.0), (0.1, 0.1)), (255, 0, 0), part="nowhere")
    sprite = canvas.finish()
    assert not sprite.rgba.any()
    assert sprite.parts == ()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), grounded=st.booleans())
def test_a_passage_is_in_the_picture_once(seed, grounded):
    """Outside at both ends, and the centre is within the picture for one interval only: one identity."""
    height, width = 360, 640
    passage = draw_passage(
        np.random.default_rng(seed), sprite=0, sprite_size=(120, 90), grounded=grounded, picture_size=(height, width)
    )
    steps = np.linspace(0, 1, 400, endpoint=False)
    centres = np.array([passage.centre(float(step)) for step in steps])
    side, length = (centres[:, 0], width) if passage.horizontal else (centres[:, 1], height)
    near = (side > -passage.reach_px + 1e-9) & (side < length + passage.reach_px - 1e-9)
    assert np.count_nonzero(np.diff(near.astype(int)) == 1) <= 1
    assert not near[0]
    corners = np.array([[0, 0, 1], [89, 0, 1], [0, 119, 1], [89, 119, 1]]).T
    for end in (0.0, 1.0):
        xy = passage.matrix(end, (120, 90)) @ corners
        inside = (xy[0] >= 0) & (xy[0] < width) & (xy[1] >= 0) & (xy[1] < height)
        assert not inside.any()
    across = (centres[:, 1] / height) if passage.horizontal else (centres[:, 0] / width)
    assert across.min() > 0
    assert across.max() < 1


def test_a_figure_comes_back_under_another_identity():
    renderer = SceneRenderer(320, 180, num_objects=4, seed=3)
    figures: dict[int, set[int]] = {}
    for index in range(0, 1800, 15):
        truth = renderer.truth(index)
        assert len(set(truth.sprite_ids.tolist())) == len(truth.sprite_ids), "no two look the same at a time"
        for track_id, figure_id in zip(truth.track_ids.tolist(), truth.sprite_ids.tolist(), strict=True):
            figures.setdefault(track_id, set()).add(figure_id)
    assert all(len(ids) == 1 for ids in figures.values())
    assert len(set().union(*figures.values())) < len(figures)


def test_identities_are_never_used_again(renderer):
    """Each id is seen in one stretch of the passage only, and coming back means a new one."""
    spans: dict[int, list[int]] = {}
    for index in range(0, 30 * 60, 15):
        for track_id in renderer.truth(index).track_ids.tolist():
            spans.setdefault(track_id, []).append(index)
    longest = max(seen[-1] - seen[0] for seen in spans.values())
    assert longest <= 14 * 30, "nothing lives longer than the longest passage"
    assert len(spans) > 3 * len(renderer.truth(0).track_ids), "objects leave and others come"


@pytest.mark.parametrize(
    "num_objects", [pytest.param(0, id="nothing at all"), pytest.param(1, id="one"), pytest.param(60, id="a crowd")]
)
def test_number_of_objects(num_objects):
    scene = SceneRenderer(320, 180, num_objects=num_objects, seed=0)
    present = [np.count_nonzero(~scene.truth(index).is_part) for index in range(0, 900, 90)]
    assert max(present) <= num_objects
    assert np.mean(present) >= 0.4 * num_objects
    assert scene.truth(0).boxes.shape[1] == 4
    assert scene.render(0).shape == (180, 320, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"width": 8, "height": 64}, id="too narrow"),
        pytest.param({"width": 64, "height": 64, "num_objects": -1}, id="negative count"),
        pytest.param({"width": 64, "height": 64, "fps": 0}, id="no time"),
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="a scene needs"):
        SceneRenderer(**arguments)


def test_negative_index(renderer):
    with pytest.raises(ValueError, match="counted from 0, got -1"):
        renderer.render(-1)


@pytest.mark.parametrize(
    ("next_index", "elapsed_seconds", "expected"),
    [
        pytest.param(0, 0.0, 0, id="the first is due at once"),
        pytest.param(5, 0.40, 5, id="in time: wait for the next"),
        pytest.param(5, 0.55, 5, id="due, and the newest"),
        pytest.param(5, 0.95, 9, id="late: the newest due"),
    ],
)
def test_newest_due(next_index, elapsed_seconds, expected):
    assert newest_due(next_index, elapsed_seconds, fps=10.0) == expected


def scene_source(**values):
    return open_source(SceneSource(id="scene0", width=96, height=64, num_objects=2, **values))


def test_every_frame_delivers_all_without_pacing():
    source = scene_source(mode="every_frame", num_frames=50, fps=1.0)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.pts_seconds for frame in frames] == list(range(50))
    assert {frame.clock for frame in frames} == {"arrival"}
    assert source.drops.snapshot() == {}
    assert not source.is_live


def test_live_is_paced_and_says_when_each_picture_was_due():
    source = scene_source(num_frames=12, fps=60.0)
    frames = list(source.frames())
    assert source.is_live
    assert isinstance(source, RenderedScene)
    assert {frame.clock for frame in frames} == {"driver"}
    for frame in frames:
        np.testing.assert_array_equal(frame.image, source.renderer.render(frame.index))
    start_ns = frames[0].captured_ns
    for frame in frames:
        # Wall and monotonic clocks are read one after the other: within a millisecond or so.
        assert frame.captured_ns - start_ns == pytest.approx((frame.index - frames[0].index) / 60 * 1e9, abs=20e6)
        assert frame.received_ns > 0
    assert frames[-1].received_ns - frames[0].received_ns > 0.5 * (frames[-1].index - frames[0].index) / 60 * 1e9


def test_a_slow_reader_of_a_live_scene_gets_the_newest_and_the_rest_is_counted():
    source = scene_source(num_frames=400, fps=1000.0)
    frames = source.frames()
    first = next(frames)
    threading.Event().wait(0.06)
    second = next(frames)
    assert second.index - first.index >= 50
    rest = list(frames)
    late = source.drops.snapshot()["capture"]["late"]
    assert late == 400 - (2 + len(rest)), "every gap in the index is a counted drop"


def test_stop_from_another_thread_ends_a_wait():
    source = scene_source(fps=0.01)
    frames = source.frames()
    take(frames, 1)
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    started = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - started < 1.0
    timer.join()
    source.stop()
    assert list(source.frames()) == [], "once stopped, it stays stopped"
