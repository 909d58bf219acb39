import numpy as np
import pytest

from streamseg.errors import DataError, WeightsError
from streamseg.fastsam import FastSAMPrompt
from streamseg.fastsam.selection import prompted
from streamseg.fastsam.text import rows_for_texts
from streamseg.paths import cache_folder
from tests.support.compat_results import rectangles, results_of
from tests.support.text_encoders import make_encoders

MASKS = rectangles((5, 5, 25, 25), (40, 5, 60, 30), (10, 40, 40, 55))
"""Red, green and nearly black."""


@pytest.fixture
def cached(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    return make_encoders(cache_folder() / "text" / "default")


def result(prompting):
    image = np.zeros((60, 80, 3), np.uint8)
    for mask, rgb in zip(MASKS, ((220, 0, 0), (0, 220, 0), (10, 10, 10)), strict=True):
        image[mask] = rgb
    return results_of(MASKS, prompting=prompting, image=np.ascontiguousarray(image[:, :, ::-1]))


@pytest.mark.parametrize(
    ("prompting", "texts", "rows"),
    [
        pytest.param("reference", ["green cup"], [1], id="reference"),
        pytest.param("reference", ["green cup", "red cup"], [1, 0], id="reference, two"),
        pytest.param("reference", ["blue cup"], [2], id="reference: always one"),
        pytest.param("default", ["green cup"], [1], id="default"),
        pytest.param("default", ["green cup", "red cup"], [1, 0], id="default, two"),
        pytest.param("default", ["blue cup"], [], id="default: none of these"),
    ],
)
def test_rows(cached, prompting, texts, rows):
    assert rows_for_texts(result(prompting), texts) == rows
    assert len(prompted(result(prompting), texts=texts)) == len(rows)


def test_the_mask_of_a_text(cached):
    given = result("reference")
    np.testing.assert_array_equal(FastSAMPrompt(given.orig_img, [given]).text_prompt("red cup"), MASKS[:1])


def test_nothing_found(cached):
    for prompting in ("reference", "default"):
        assert rows_for_texts(results_of(MASKS[:0], prompting=prompting), ["red"]) == []


def test_encoders_that_were_exported_again_are_loaded_again(cached):
    assert rows_for_texts(result("default"), ["red cup"]) == [0]
    make_encoders(cached, logit_scale=0.01)  # all texts alike: nothing is above the threshold
    assert rows_for_texts(result("default"), ["red cup"]) == []


def test_faults(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="scripts/export_text_encoders"):
        rows_for_texts(result("default"), ["red"])
    with pytest.raises(DataError, match="empty text"):
        rows_for_texts(result("default"), [" "])
    with pytest.raises(DataError, match="10000 characters"):
        rows_for_texts(result("default"), ["x" * 10_000])
