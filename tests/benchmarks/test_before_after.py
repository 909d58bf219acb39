import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import before_after
from streamseg.drawing.overlay import colour_of
from streamseg.structures.mask import CropMask
from streamseg.weights import save_weights
from tests.support.images import disc
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video

SIZE = (96, 128)


@given(st.integers(1, 500), st.integers(1, 20))
def test_positions_are_spread_over_all_items(total, count):
    chosen = before_after.spread(total, count)
    assert chosen == sorted(set(chosen))
    assert 0 <= chosen[0] <= chosen[-1] < total
    assert len(chosen) == min(total, count)
    assert all(np.diff(chosen) <= total / count + 1)


def test_objects_of_both_have_one_colour():
    left, right = (CropMask.of(disc(SIZE, x, 40, 15)) for x in (30, 90))
    first = [colour_of(0), colour_of(1)]
    assert before_after.colours_like(([left, right], [right, left]), first) == first[::-1]
    found = before_after.colours_like(([left], [right, left]), first[:1])
    assert found[1] == first[0] != found[0]
    assert before_after.colours_like(([], [left]), []) == [colour_of(0)]
    assert before_after.colours_like(([left], []), first[:1]) == []


def test_sheet_has_two_columns_of_pairs():
    pairs = [np.full((height, 50, 3), 7, dtype=np.uint8) for height in (20, 30, 10)]
    sheet = before_after.contact_sheet(pairs, title="a | b")
    assert sheet.shape[1] >= 100
    assert (sheet == 7).all(axis=2).sum() == 60 * 50


def data_folder_of(folder: Path) -> Path:
    """eval-coco with three images, one of which may not be changed, and two clips, one of which is free."""
    (folder / "eval-coco" / "images").mkdir(parents=True)
    (folder / "clips").mkdir()
    images = []
    for number, licence in enumerate((1, 2, 1)):
        name = f"{number}.png"
        cv2.imwrite(str(folder / "eval-coco" / "images" / name), blobs(SIZE, seed=number))
        images.append({"id": number, "file_name": name, "license": licence, "attribution": f"A{number}", "url": "u"})
    licences = [
        {"id": 1, "url": before_after.CC_BY},
        {"id": 2, "url": "http://creativecommons.org/licenses/by-nd/2.0/"},
    ]
    (folder / "eval-coco" / "instances.json").write_text(json.dumps({"images": images, "licenses": licences}))
    clips = []
    for name, licence in (("free.mp4", "CC BY 4.0 (A)"), ("other.mp4", "not stated")):
        write_video(folder / "clips" / name, images=[blobs(SIZE, seed=number) for number in range(4)])
        clips.append({"file": name, "frames": 4, "source": "s", "licence": licence})
    (folder / "clips" / "clips.json").write_text(json.dumps({"clips": clips}))
    return folder


@pytest.mark.slow
def test_sheets_of_images_and_clips(monkeypatch, tmp_path, capsys):
    data = data_folder_of(tmp_path / "data")
    metadata = {"imgsz": "128"}
    weights = [
        str(save_weights(lively_network(seed=seed).state_dict(), tmp_path / f"{seed}.safetensors", metadata=metadata))
        for seed in (0, 1)
    ]
    monkeypatch.setattr(
        sys, "argv", ["before_after", *weights, "--data", str(data), "--out", str(tmp_path / "out"), "--frames", "2"]
    )
    for _ in range(2):  # the second run replaces the files
        assert before_after.main() == 0
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == [
        "cc-by/free.jpg",
        "cc-by/images.jpg",
        "cc-by/sources.txt",
        "not-free/other.jpg",
        "not-free/sources.txt",
    ]
    lines = (tmp_path / "out" / "cc-by" / "sources.txt").read_text().splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "images.jpg: 0.png: A0, CC BY 2.0, u",
        "images.jpg: 2.png: A2, CC BY 2.0, u",
        "free.jpg: free.mp4: s, CC BY 4.0 (A)",
    ]
    assert cv2.imread(str(tmp_path / "out" / "cc-by" / "free.jpg")).shape[1] > 4 * SIZE[1]
    assert "objects" in capsys.readouterr().out
