import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.text.ranking import best_texts, default_threshold, text_scores
from tests.support.text_encoders import description

RED, GREEN, BLUE, GREY = np.eye(4, dtype=np.float32)
SOFTMAX, SIGMOID = description(logit_scale=20.0), description(activation="sigmoid", logit_scale=20.0, logit_bias=-10.0)


def between(one, other, share):
    mixed = (1 - share) * one + share * other
    return mixed / np.linalg.norm(mixed)


def score(image, texts, others=(GREY,), encoders=SOFTMAX):
    return text_scores(image[None], np.array(texts).reshape(-1, 4), np.array(others).reshape(-1, 4), encoders)[0]


@pytest.mark.parametrize(
    ("image", "texts", "winner"),
    [
        pytest.param(RED, [RED, GREEN], 0, id="first text"),
        pytest.param(GREEN, [RED, GREEN], 1, id="second text"),
        pytest.param(GREY, [RED, GREEN], None, id="distractor"),
        pytest.param(BLUE, [RED, GREEN], None, id="neither text nor distractor"),
        pytest.param(between(RED, GREEN, 0.3), [RED, GREEN], 0, id="mostly the first text"),
        pytest.param(between(RED, GREY, 0.7), [RED], None, id="mostly the distractor"),
        pytest.param(between(RED, GREY, 0.3), [RED], 0, id="single text against the distractor"),
        pytest.param(RED, [RED, between(RED, GREEN, 0.1)], None, id="similar texts share the score"),
    ],
)
def test_softmax(image, texts, winner):
    matches = best_texts(score(image, texts)[None], default_threshold(SOFTMAX) + 0.1)
    assert [text for text, rows in enumerate(matches) if rows] == ([] if winner is None else [winner])


@pytest.mark.parametrize(
    ("image", "scores"),
    [
        pytest.param(RED, [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))], id="first text"),
        pytest.param(BLUE, [1 / (1 + np.exp(10))] * 2, id="neither"),
        pytest.param(between(RED, GREEN, 0.5), [1 / (1 + np.exp(10 - 20 / np.sqrt(2)))] * 2, id="both"),
    ],
)
def test_sigmoid_scores_each_text_independently(image, scores):
    np.testing.assert_allclose(score(image, [RED, GREEN], encoders=SIGMOID), scores, rtol=1e-5)
    np.testing.assert_allclose(score(image, [RED, GREEN], others=(), encoders=SIGMOID), scores, rtol=1e-5)


def test_no_images_or_texts():
    none = np.zeros((0, 4), np.float32)
    assert text_scores(none, RED[None], GREY[None], SOFTMAX).shape == (0, 1)
    assert text_scores(RED[None], none, GREY[None], SOFTMAX).shape == (1, 0)
    assert text_scores(none, none, none, SIGMOID).shape == (0, 0)
    assert best_texts(np.zeros((0, 2), np.float32), 0.5) == [[], []]
    assert best_texts(np.zeros((3, 0), np.float32), 0.5) == []


def test_objects_are_assigned_once_and_best_first():
    scores = np.array([[0.6, 0.3], [0.9, 0.05], [0.2, 0.7], [0.4, 0.4], [0.5, 0.5]], np.float32)
    first, second = best_texts(scores, 0.5)
    assert [row for row, _ in first] == [1, 0, 4]
    assert [row for row, _ in second] == [2]
    assert [round(score, 3) for _, score in first] == [0.9, 0.6, 0.5]


@given(st.integers(0, 2**31), st.integers(0, 6), st.integers(0, 6), st.integers(0, 3), st.sampled_from([1.0, 1000.0]))
def test_scores_are_shares(seed, num_images, num_texts, num_others, scale):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(num_images + num_texts + num_others, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images, texts, others = np.split(vectors, [num_images, num_images + num_texts])
    for activation in ("softmax", "sigmoid"):
        encoders = description(activation=activation, logit_scale=scale)
        scores = text_scores(images, texts, others, encoders)
        assert scores.shape == (num_images, num_texts)
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()
        assert (scores <= 1).all()
        if activation == "softmax":
            assert (scores.sum(axis=1) <= 1 + 1e-5).all()
        matches = best_texts(scores, 0.3)
        rows = [row for match in matches for row, _ in match]
        assert len(rows) == len(set(rows))
        assert all(score >= 0.3 for match in matches for _, score in match)
