import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.engines.layouts import Layout, Port, UnknownLayout, export_flag, format_ports, num_anchors, recognise

SIZE = (64, 96)
"""Input size with 126 anchors and a grid of 16x24."""

FIXED = Port("images", "float32", (1, 3, 64, 96))
DYNAMIC = Port("images", "float32", (None, 3, None, None))
PROTOTYPES = Port("output1", "float32", (1, 32, 16, 24))

NMS = {"args": "{'batch': 1, 'nms': True}"}
END2END = {"end2end": "True"}


def detections(rows, columns, *, dtype="float32", name="output0"):
    return Port(name, dtype, (1, rows, columns))


@pytest.mark.parametrize(
    ("output", "metadata", "arrangement"),
    [
        pytest.param(detections(37, 126), {}, "anchors last", id="one class"),
        pytest.param(detections(116, 126), {}, "anchors last", id="eighty classes"),
        pytest.param(detections(38, 126), {}, "anchors last", id="two classes"),
        pytest.param(detections(126, 126), {}, "anchors last", id="square"),
        pytest.param(detections(126, 37), {}, "anchors first", id="one class, (B, A, C)"),
        pytest.param(detections(126, 38), {}, "anchors first", id="two classes, (B, A, C)"),
        pytest.param(detections(300, 38), {}, "suppressed", id="built-in NMS"),
        pytest.param(detections(0, 38), {}, "suppressed", id="built-in NMS, nothing found"),
        pytest.param(detections(126, 38), NMS, "suppressed", id="built-in NMS, as many rows as anchors"),
        pytest.param(detections(126, 38), END2END, "suppressed", id="end-to-end, as many rows as anchors"),
        pytest.param(
            detections(37, 126), {"args": "{'nms': None}", "end2end": "False"}, "anchors last", id="stated as absent"
        ),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_shapes_determine_the_arrangement(output, metadata, arrangement, swapped):
    outputs = [PROTOTYPES, output] if swapped else [output, PROTOTYPES]
    found = recognise([FIXED], outputs, SIZE, metadata)
    assert found == Layout("images", "float32", "output0", "output1", arrangement, 32, SIZE, 1, 1)


@pytest.mark.parametrize(
    ("images", "output", "metadata", "limits"),
    [
        pytest.param((1, 3, 64, 96), (37, 126), {}, (SIZE, 1, 1), id="fixed"),
        pytest.param((4, 3, 64, 96), (37, 126), {}, (SIZE, 4, 4), id="four at once"),
        pytest.param((4, 3, 64, 96), (300, 38), {"batch": "1"}, (SIZE, 4, 4), id="built-in NMS, four at once"),
        pytest.param((None, 3, 64, 96), (37, 126), {}, (SIZE, None, None), id="dynamic batch"),
        pytest.param((None, 3, None, None), (37, 126), {"batch": "1"}, (None, None, None), id="dynamic"),
        pytest.param((None, 3, None, None), (300, 38), {}, (None, None, 1), id="built-in NMS, dynamic"),
        pytest.param((None, 3, None, None), (300, 38), {"batch": "4"}, (None, None, 4), id="built-in NMS, up to four"),
        pytest.param(
            (None, 3, None, None), (300, 38), {"batch": "-4"}, (None, None, 1), id="built-in NMS, invalid batch"
        ),
        pytest.param((None, 3, None, None), (300, 38), {"batch": "0"}, (None, None, 1), id="built-in NMS, batch of 0"),
    ],
)
def test_sizes_and_batches(images, output, metadata, limits):
    found = recognise([Port("x", "float16", images)], [detections(*output), PROTOTYPES], SIZE, metadata)
    assert (found.input_size, found.num_images, found.max_batch) == limits
    assert found.dtype == "float16"


def test_additional_outputs_are_ignored():
    levels = [Port("p3", "float32", (1, 65, 8, 12)), Port("p4", "float32", (1, 65, 4, 6)), Port("n", "int64", (1, 1))]
    coefficients = Port("mc", "float32", (1, 32, 126))
    found = recognise([FIXED], [*levels, PROTOTYPES, coefficients, detections(37, 126)], SIZE, {})
    assert (found.detections, found.prototypes) == ("output0", "output1")


@pytest.mark.parametrize(
    ("inputs", "outputs", "metadata", "reason"),
    [
        pytest.param([], [PROTOTYPES], {}, "takes 0 inputs, not one", id="no input"),
        pytest.param([FIXED, FIXED], [PROTOTYPES], {}, "takes 2 inputs, not one", id="two inputs"),
        pytest.param([Port("x", "float32", (3, 64, 96))], [], {}, "takes arrays of 3 axes, not images", id="rank"),
        pytest.param([Port("x", "uint8", (1, 3, 64, 96))], [], {}, "images of uint8, not of float", id="uint8"),
        pytest.param([Port("x", "float64", (1, 3, 64, 96))], [], {}, "images of float64", id="double"),
        pytest.param([Port("x", "float32", (1, 1, 64, 96))], [], {}, "with 1 channel, not 3", id="one channel"),
        pytest.param([Port("x", "float32", (1, 4, 64, 96))], [], {}, "with 4 channels, not 3", id="four channels"),
        pytest.param([Port("x", "float32", (1, None, 64, 96))], [], {}, "a dynamic number of channels", id="channels"),
        pytest.param([Port("x", "float32", (1, 64, 96, 3))], [], {}, "with channels last", id="channels last"),
        pytest.param(
            [Port("x", "float32", (1, 3, 64, None))],
            [],
            {},
            "one dynamic axis among height and width",
            id="one dynamic side",
        ),
        pytest.param([Port("x", "float32", (1, 3, 50, 96))], [], {}, "of 50x96 pixels .H x W., not mult", id="no mult"),
        pytest.param([Port("x", "float32", (1, 3, 0, 96))], [], {}, "of 0x96 pixels", id="no rows"),
        pytest.param(
            [FIXED], [detections(5, 126)], {"task": "detect"}, "is made for task 'detect'", id="stated: boxes"
        ),
        pytest.param([FIXED], [detections(56, 126)], {"task": "pose"}, "is made for task 'pose'", id="stated: pose"),
        pytest.param([FIXED], [detections(5, 126)], {}, "is a detection graph", id="boxes"),
        pytest.param([FIXED], [detections(300, 6)], {}, "is a detection graph", id="boxes, built-in NMS"),
        pytest.param([FIXED], [Port("y", "float32", (1, 1000))], {}, "is a classification graph", id="classes"),
        pytest.param([FIXED], [], {}, "has no outputs that match 126 anchors and a grid of 16x24", id="no output"),
        pytest.param([FIXED], [PROTOTYPES], {}, "has no outputs that match 126 anchors", id="prototypes alone"),
        pytest.param(
            [FIXED], [detections(37, 100), PROTOTYPES], {}, "has no outputs that match 126", id="other anchors"
        ),
        pytest.param([FIXED], [detections(36, 126), PROTOTYPES], {}, "has no outputs that match 126", id="no class"),
        pytest.param([FIXED], [detections(378, 117), PROTOTYPES], {}, "378 anchors, three per cell", id="YOLOv5"),
        pytest.param(
            [FIXED],
            [detections(37, 126), Port("y", "float32", (1, 32, 8, 12))],
            {},
            "no outputs that match .* a grid of 16x24",
            id="another grid",
        ),
        pytest.param([FIXED], [detections(37, 126, dtype="int8"), PROTOTYPES], {}, "returns int8", id="int8"),
        pytest.param(
            [FIXED],
            [detections(37, 126), detections(37, 126, name="again"), PROTOTYPES],
            {},
            "several outputs that match",
            id="twice",
        ),
        pytest.param(
            [FIXED], [detections(37, 126), PROTOTYPES], NMS, "has no outputs that match", id="no built-in NMS"
        ),
    ],
)
def test_unsupported_form_is_named(inputs, outputs, metadata, reason):
    with pytest.raises(UnknownLayout, match=reason):
        recognise(inputs, outputs, SIZE, metadata)


@pytest.mark.parametrize(
    ("args", "stated"),
    [
        ("{'nms': True}", True),
        ('{"nms": True}', True),
        ("{'nms': False}", False),
        ("{'agnostic_nms': True, 'nms': None}", False),
        ("", False),
    ],
)
def test_export_flags(args, stated):
    assert export_flag({"args": args}, "nms") is stated


@pytest.mark.parametrize(("size", "anchors"), [((640, 640), 8400), ((1024, 1024), 21504), ((576, 1024), 12096)])
def test_num_anchors(size, anchors):
    assert num_anchors(size) == anchors


@pytest.mark.slow
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 6, 16, 24, 32, 37, 38, 126, 300]), max_size=5), max_size=5),
    st.dictionaries(st.sampled_from(["batch", "end2end", "args"]), st.sampled_from(["True", "0", "{'nms': True}"])),
)
def test_any_outputs_are_recognised_or_rejected(shapes, metadata):
    outputs = [Port(f"o{i}", "float32", tuple(shape)) for i, shape in enumerate(shapes)]
    try:
        found = recognise([DYNAMIC], outputs, SIZE, metadata)
    except UnknownLayout:
        return
    by_name = {port.name: port.shape for port in outputs}
    assert by_name[found.prototypes][1:] == (found.num_masks, 16, 24)
    assert found.num_masks > 0
    wide = by_name[found.detections][1 if found.arrangement == "anchors last" else 2]
    assert wide >= 5 + found.num_masks


def test_ports_are_formatted_in_one_line():
    assert format_ports([DYNAMIC], [PROTOTYPES, detections(37, 126)]) == (
        "images float32 (?, 3, ?, ?) → output1 float32 (1, 32, 16, 24); output0 float32 (1, 37, 126)"
    )
    assert format_ports([], []) == "nothing → nothing"
    assert format_ports([Port("a\nb" + "c" * 90, "float32", ())], [PROTOTYPES] * 9) == (
        f"a b{'c' * 37}… float32 () → {'; '.join([str(PROTOTYPES)] * 6)}; and 3 more"
    )
