import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import Timing
from benchmarks.peers.client import Child
from benchmarks.peers.server import Frame, serve
from benchmarks.versus_ultralytics import PEER, Candidate, agreement, ratios, table, threshold


def frames(*totals_ms: float, network_ms: float = 10.0, num_objects: int = 3) -> list[Frame]:
    return [Frame(total, network_ms, num_objects, peak_mb=total) for total in totals_ms]


CANDIDATES = {PEER: Candidate.of(frames(100, 110, 120)), "streamseg": Candidate.of(frames(20, 22, 24, network_ms=5))}


def test_candidate_has_medians_and_the_maximum_peak():
    assert CANDIDATES[PEER] == Candidate(Timing.of([0.1, 0.11, 0.12]), 10.0, 100.0, 120.0, 3)


def test_varying_numbers_of_objects_are_rejected():
    with pytest.raises(RuntimeError, match=r"\[3, 4\]"):
        Candidate.of([*frames(1), *frames(1, num_objects=4)])


def test_ratios_to_the_peer():
    assert ratios(CANDIDATES) == {"streamseg": {"total": 5.0, "network": 2.0, "rest": 5.88, "peak": 5.0}}


def test_table_has_a_line_per_candidate_and_ratios_for_ours():
    head, peer, ours = table(CANDIDATES).splitlines()
    assert len(head) == len(ours)
    assert "(" not in peer
    assert " ".join(ours.split()) == "streamseg 22.0 23.8 (5.0 x) 5.0 (2.0 x) 17.0 (5.9 x) 24.0 (5.0 x)"


@pytest.mark.parametrize(
    ("num_objects", "slack", "count"),
    [
        pytest.param(3, 0, 3, id="exact"),
        pytest.param(3, 1, 4, id="widest-gap-near-by"),
        pytest.param(1, 3, 4, id="never-none"),
    ],
)
def test_threshold_lies_in_the_widest_gap(num_objects: int, slack: int, count: int):
    scores = np.array([0.9, 0.8, 0.7, 0.69, 0.2, 0.1], dtype=np.float32)
    assert int((scores > threshold(scores, num_objects, slack)).sum()) == count


def test_too_few_objects():
    with pytest.raises(ValueError, match="2 objects are too few"):
        threshold(np.array([0.9, 0.8], dtype=np.float32), 2)


def result_of(masks: np.ndarray, scores: list[float]) -> dict[str, np.ndarray]:
    return {"masks": np.packbits(masks), "shape": np.array(masks.shape), "scores": np.array(scores, dtype=np.float32)}


def test_agreement_pairs_objects_of_similar_score():
    masks = np.zeros((3, 4, 5), dtype=np.bool_)
    masks[0, :2], masks[1, 2:], masks[2, 1:3] = True, True, True
    other = masks[::-1].copy()  # the last two, of similar score, are swapped
    other[1, 3] = False
    result = agreement(result_of(masks, [0.9, 0.5001, 0.5]), result_of(other, [0.5001, 0.5, 0.875]))
    assert result == {"scores": pytest.approx(0.025), "mean_iou": 0.5, "least_iou": 0.0}


def test_agreement_needs_equal_numbers_of_objects():
    with pytest.raises(RuntimeError, match="shape"):
        agreement(result_of(np.ones((1, 2, 2), bool), [0.9]), result_of(np.ones((2, 2, 2), bool), [0.9, 0.8]))


class FullImageMask:
    """A program that always returns one mask of the full image."""

    def start(self, start):
        return {"engine": start.engine}

    def set_image(self, image, conf):
        self._image = image

    def run_frame(self, *, stacked):
        self._masks = np.ones((1, *self._image.shape[:2]), dtype=np.bool_)
        return 0.0

    def num_objects(self):
        return len(self._masks)

    def result(self):
        return np.array([0.5], dtype=np.float32), self._masks

    def release(self):
        self._masks = None


@pytest.mark.slow
def test_each_request_has_a_response_line(tmp_path: Path):
    np.save(tmp_path / "image.npy", np.zeros((600, 700, 3), dtype=np.uint8))
    start = {"weights": "w", "engine": "none", "imgsz": 64, "iou": 0.7, "max_det": 3, "num_threads": 1}
    requests = [
        {"op": "start", **start},
        {"op": "image", "path": str(tmp_path / "image.npy"), "conf": 0.1},
        {"op": "frame", "stacked": False},
        {"op": "result", "path": str(tmp_path / "result.npz")},
    ]
    responses = io.StringIO()
    serve(FullImageMask(), io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), responses)
    started, image_set, frame, written_result = (json.loads(line) for line in responses.getvalue().splitlines())
    assert started["engine"] == "none"
    assert started["baseline_mb"] > 1
    assert image_set == written_result == {}
    assert Frame(**frame).num_objects == 1
    with np.load(tmp_path / "result.npz") as written:
        assert written["shape"].tolist() == [1, 600, 700]
        assert np.unpackbits(written["masks"], count=600 * 700).all()


def test_error_of_an_ended_process_contains_its_output():
    with (
        Child(sys.executable, "benchmarks.peers.none_of_these") as child,
        pytest.raises(RuntimeError, match="none_of_these"),
    ):
        child.request("start")
