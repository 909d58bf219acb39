"""The page's modules in a browser, compared with their counterparts in Python."""

import base64
import itertools
from typing import get_args

import numpy as np
import pytest
import torch

import streamseg.prompting.points as rule_of_points
from streamseg.drawing import colour_of
from streamseg.prompting import select
from streamseg.prompting.overlap import MUTUAL_RASTER
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import (
    POSSIBLY_LOST_CONFIDENCE,
    UNCERTAIN_MASK_QUALITY,
    PromptState,
    PromptStatus,
)
from streamseg.structures.prompt import PointPrompt
from streamseg.wire import decode, encode, pack_single, unpack_single
from streamseg.wire.prompt_statuses import prompt_statuses_to_json
from tests.golden import make_wire_golden as golden
from tests.prompting.test_points import ROWS, SCENE, TABLE
from tests.support.messages import disc, make_object
from tests.support.shapes import IMAGE_SIZE, detect_shapes
from tests.support.viewer_page_browser import tabs
from tests.support.viewer_page_server import PageServer, block, page_frame

pytestmark = pytest.mark.slow

READ = """async (body) => {
    const { readFrame } = await import("/static/wire.js");
    const { pixelsOf, covers, outlineOf } = await import("/static/mask.js");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const { source, header, masks, jpeg } = readFrame(bytes.buffer);
    const grids = masks.map((mask) => Array.from({ length: header.mask_space.h }, (_, y) =>
        Array.from({ length: header.mask_space.w }, (_, x) => covers(mask, x + 0.5, y + 0.5) ? 1 : 0)));
    return { source, header, jpeg: jpeg && [...jpeg], grids,
             masks: masks.map((mask) => ({ ...mask, ends: null, pixels: [...pixelsOf(mask)] })),
             outlines: masks.map((mask) => [...outlineOf(mask, [1, 1, 0, 0])].map((v) => Number.isNaN(v) ? null : v)) };
}"""


@pytest.fixture(scope="module")
def server():
    server = PageServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def page(server, chromium):
    with tabs(chromium) as open_tab:
        yield open_tab(server.url)


def read_in_page(page, body):
    return page.evaluate(READ, base64.b64encode(body).decode())


@pytest.mark.parametrize("name", ["rle-crop-u32", "picture", "empty"])
def test_golden_bytes_are_read_as_in_python(page, name):
    body = (golden.FOLDER / f"{name}.bin").read_bytes()
    message = decode(unpack_single(body))
    read = read_in_page(page, body)
    assert read["source"] == message.source_id
    assert (read["header"]["index"], read["header"]["seq"]) == (message.frame_index, message.seq)
    assert [found["track_id"] for found in read["header"]["objects"]] == [one.track_id for one in message.objects]
    assert read["jpeg"] == (None if message.jpeg is None else list(message.jpeg))
    assert len(read["masks"]) == len(message.objects)
    for mask, grid, found in zip(read["masks"], read["grids"], message.objects, strict=True):
        height, width = found.mask.crop.shape
        assert (mask["x"], mask["y"], mask["w"], mask["h"]) == (found.mask.x, found.mask.y, width, height)
        assert mask["pixels"] == found.mask.crop.T.astype(int).ravel().tolist()
        assert grid == found.mask.full(message.mask_size).astype(int).tolist()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda body: body[:-1], "bytes", id="cut off"),
        pytest.param(lambda body: b"seg/2/cam0/" + body[body.index(b"\0") :], "topic", id="other version of the topic"),
        pytest.param(lambda body: body.replace(b"streamseg.frame", b"streamseg.trame"), "reload", id="other schema"),
        pytest.param(lambda body: body.replace(b"rle-crop-u32", b"rle-crop-u33"), "masks", id="other encoding"),
        pytest.param(lambda body: b"", "topic", id="empty"),
    ],
)
def test_invalid_bytes_are_rejected_with_a_reason(page, spoil, reason):
    body = spoil((golden.FOLDER / "rle-crop-u32.bin").read_bytes())
    message = page.evaluate(
        """async (body) => {
            const { readFrame } = await import("/static/wire.js");
            try { readFrame(Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0)).buffer); return "read"; }
            catch (error) { return error.message; }
        }""",
        base64.b64encode(body).decode(),
    )
    assert reason in message


def test_colours_match_python(page):
    ids = [-1, *range(300), 10**6, 2**31, 2**53 - 1]
    script = "async (ids) => { const { colourOf } = await import('/static/colours.js'); return ids.map(colourOf); }"
    assert page.evaluate(script, ids) == [list(colour_of(track_id)) for track_id in ids]


def spots():
    rng = np.random.default_rng(3)
    return rng.random((9, 13)) < 0.5


@pytest.mark.parametrize(
    "crop",
    [
        pytest.param(np.ones((4, 5), np.bool_), id="box"),
        pytest.param(np.ones((1, 1), np.bool_), id="one pixel"),
        pytest.param(disc(15), id="disc"),
        pytest.param(disc(15) & ~np.pad(disc(5), 5), id="ring"),
        pytest.param(np.eye(6, dtype=np.bool_), id="corners only"),
        pytest.param(spots(), id="spots"),
        pytest.param(np.zeros((3, 3), np.bool_), id="empty"),
    ],
)
def test_outlines_enclose_the_mask(page, crop):
    """The even-odd rule by hand: a pixel's centre is inside if an odd number of edges lies to its right."""
    found = make_object(crop, 3, 2)
    body = pack_single(encode(page_frame(found, size=(20, 30), jpeg=None)))
    (outline,) = read_in_page(page, body)["outlines"]
    loops: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(outline[::2], outline[1::2], strict=True):
        if x is None:
            loops.append([])
        else:
            loops[-1].append((x, y))
    assert loops.pop() == [], "each loop is closed"
    inside = np.zeros((20, 30), np.bool_)
    ys, xs = np.mgrid[0:20, 0:30] + 0.5
    for loop in loops:
        for (x0, y0), (x1, y1) in zip(loop, [*loop[1:], loop[0]], strict=True):
            if y0 != y1:
                spans = (ys > min(y0, y1)) & (ys < max(y0, y1)) | (ys == y0) & (y0 < y1) | (ys == y1) & (y1 < y0)
                inside ^= spans & (xs < x0 + (ys - y0) * (x1 - x0) / (y1 - y0))
    assert (inside == CropMask(crop, 3, 2).full((20, 30))).all()


OBJECTS_AT = """async ([body, points]) => {
    const { readFrame } = await import("/static/wire.js");
    const { makeFrame, objectsAt } = await import("/static/frame.js");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const frame = makeFrame(readFrame(bytes.buffer), null, 0);
    return points.map(([x, y]) => objectsAt(frame, x, y).map(({ trackId }) => trackId));
}"""


def objects_at(page, frame, points):
    return page.evaluate(OBJECTS_AT, [base64.b64encode(pack_single(encode(frame))).decode(), points])


def test_objects_at_a_point(page):
    frame = page_frame(
        block(10, 10, 90, 90, track_id=1),
        block(20, 20, 40, 40, track_id=2),
        block(15, 15, 60, 60, track_id=3),
        size=(100, 100),
        mask_to_image=(2.0, 4.0, -5.0, 3.0),
        image_size=(400, 200),
        jpeg=None,
    )
    points = [[30, 30], [59, 59], [80, 80], [5, 5], [39.99, 39.99], [40, 40], [-1, -1], [1e9, 1e9]]
    found = objects_at(page, frame, [[2 * x - 5, 4 * y + 3] for x, y in points])
    # At the corner of an object, those around it are likelier, although they are larger.
    assert found == [[2, 3, 1], [1, 3], [1], [], [3, 1, 2], [3, 1], [], []]


def test_constants_of_the_rule_for_clicks_are_those_in_python(page):
    rule = page.evaluate('async () => (await import("/static/likeliest.js")).RULE')
    assert rule == {
        "sizeWeight": rule_of_points.SIZE_WEIGHT,
        "centreWeight": rule_of_points.CENTRE_WEIGHT,
        "centreRadii": list(rule_of_points.CENTRE_RADII),
        "centreDirections": rule_of_points.CENTRE_DIRECTIONS,
        "minShare": rule_of_points.MIN_SHARE,
        "temperature": rule_of_points.TEMPERATURE,
        "mutualRaster": MUTUAL_RASTER,
    }


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_first_object_at_a_point_is_the_one_that_a_click_selects(page, scale):
    instances = detect_shapes(SCENE)
    width, height = round(IMAGE_SIZE[1] / scale), round(IMAGE_SIZE[0] / scale)
    masks = instance_masks(instances, size=(height, width))
    objects = [
        make_object(mask.crop, mask.x, mask.y, track_id=row, score=score, mask=mask)
        for row, (mask, score) in enumerate(zip(masks, instances.scores.tolist(), strict=True))
    ]
    frame = page_frame(
        *objects,
        size=(height, width),
        image_size=IMAGE_SIZE,
        mask_to_image=(IMAGE_SIZE[1] / width, IMAGE_SIZE[0] / height, 0.0, 0.0),
        jpeg=None,
    )
    single = [
        one.values for one in TABLE if len(one.values[0].point_coords) == 1 and one.values[0].point_labels == (1,)
    ]
    assert len(single) >= 6
    found = objects_at(page, frame, [list(prompt.point_coords[0]) for prompt, _, _ in single])
    assert [row[0] if row else None for row in found] == [ROWS.get(name) for _, name, _ in single]

    clicks = [[x + 0.5, y + 0.5] for y in range(0, IMAGE_SIZE[0], 7) for x in range(0, IMAGE_SIZE[1], 7)]
    prompts = [PointPrompt(str(number), ((x, y),), (1,)) for number, (x, y) in enumerate(clicks)]
    selections = select(Tracked(instances, torch.arange(len(instances))), prompts)
    wanted = [list(selection.rows) for selection in selections]
    # They may differ at outlines, where the page has pixels, and where two objects are equally likely.
    found = objects_at(page, frame, clicks)
    assert np.mean([row[:1] == of for row, of in zip(found, wanted, strict=True)]) >= 0.98


def test_points_move_with_their_object(page):
    script = """async () => {
        const { transformPoints } = await import("/static/prompt_store.js");
        const moved = transformPoints([[10, 20], [30, 40]], [0, 0, 40, 40], [100, 0, 180, 20]);
        return [moved, transformPoints([[1, 1]], [5, 5, 5, 5], [9, 9, 9, 9])];
    }"""
    assert page.evaluate(script) == [[[120, 10], [160, 20]], [[9, 9]]]


def test_recent_ages_and_drops(page):
    script = """async () => {
        const { Meter } = await import("/static/meter.js");
        const meter = new Meter();
        const empty = meter.stats(0);
        for (let n = 0; n <= 100; n++) meter.add({ seq: 2 * n, drops: n < 50 ? 0 : 3, ageMs: n }, 1000 + 30 * n);
        const first = meter.stats(4000);
        meter.add({ seq: 0, drops: 0, ageMs: 7 }, 4030);
        const late = meter.stats(99_000).fps;
        return { empty: Number.isNaN(empty.p50Ms), first, restarted: meter.stats(4030), late };
    }"""
    stats = page.evaluate(script)
    assert stats["empty"]
    assert (stats["first"]["p50Ms"], stats["first"]["p95Ms"]) == (50, 95)
    assert (stats["first"]["numDropped"], stats["first"]["numSkipped"]) == (3, 100)
    assert stats["first"]["fps"] == pytest.approx(33.5)
    assert stats["restarted"]["numSkipped"] == 100, "numbers of another run are not a gap"
    assert stats["late"] == 0


def test_retry_delays_grow_to_a_maximum(page):
    script = """async (nums) => {
        const { retryDelayMs } = await import("/static/connection.js");
        return nums.map(retryDelayMs);
    }"""
    assert page.evaluate(script, [1, 2, 3, 4, 9]) == [500, 1000, 2000, 4000, 10_000]


def test_tags_do_not_overlap(page):
    script = """async (boxes) => {
        const { placeOf } = await import("/static/draw.js");
        const taken = [];
        for (const box of boxes) taken.push(placeOf(box, [40, 20], { w: 320, h: 240 }, taken, 3));
        return taken;
    }"""
    places = page.evaluate(script, [[100, 100, 200, 200], [100, 100, 180, 160], [110, 95, 190, 190], [300, 0, 320, 9]])
    assert places[0] == [100, 77, 140, 97], "above the object"
    for place, other in itertools.combinations(places, 2):
        assert place[2] <= other[0] or other[2] <= place[0] or place[3] <= other[1] or other[3] <= place[1]
    assert all(x0 >= 0 and y0 >= 0 and x1 <= 320 and y1 <= 240 for x0, y0, x1, y1 in places)


STATUSES = [
    PromptStatus("p", state, confidence, track_id, mask_quality)
    for state in get_args(PromptState)
    for confidence in (0.0, POSSIBLY_LOST_CONFIDENCE - 0.01, POSSIBLY_LOST_CONFIDENCE, 1.0)
    for track_id in (-1, 3)
    for mask_quality in (None, UNCERTAIN_MASK_QUALITY - 0.01, UNCERTAIN_MASK_QUALITY)
]


def test_states_have_the_words_of_overlays(page):
    script = """async (statuses) => {
        const { describe } = await import("/static/prompt_words.js");
        return statuses.map((status) => describe(status).words);
    }"""
    assert page.evaluate(script, prompt_statuses_to_json(STATUSES)) == [status.words for status in STATUSES]


def test_percentages(page):
    script = """async (statuses) => {
        const { percentages } = await import("/static/prompt_words.js");
        return [null, ...statuses].map(percentages);
    }"""
    statuses = [PromptStatus("p", "bound", 0.934, 3, quality) for quality in (0.716, 0.0, None)]
    expected = ["", "93 % · mask 72 %", "93 % · mask 0 %", "93 %", ""]
    assert page.evaluate(script, prompt_statuses_to_json([*statuses, PromptStatus("p", "lost", 0.0, 3)])) == expected
