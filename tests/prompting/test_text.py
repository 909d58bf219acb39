"""States of text prompts, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from streamseg.errors import ConfigError, EngineError
from streamseg.prompting.text import TextTracker, prepare_texts
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection, TextPrompt
from tests.support.frames import make_frame
from tests.support.stages import LEFT, make_instances

CUP, PLATE = TextPrompt("cup", "a cup"), TextPrompt("plate", "a plate")
TRACKED = Tracked(make_instances([LEFT, LEFT]), torch.tensor([1, 2]))


class ScriptedMatcher:
    """Matches each text with the scores written down for it.

    Args:
        error: raised by `prepare`.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.scores: dict[str, tuple[float, ...]] = {}
        self.status: PromptStatus | None = None
        self.num_calls = 0
        self._error = error

    def prepare(self) -> None:
        if self._error is not None:
            raise self._error

    def open_source(self) -> ScriptedMatcher:
        return self

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        self.num_calls += 1
        scores = [self.scores.get(one.text, ()) for one in prompts]
        return [
            Selection(one.prompt_id, tuple(range(len(given))), given, status=self.status)
            for one, given in zip(prompts, scores, strict=True)
        ]


class Frames:
    """The texts of one source and their matcher."""

    def __init__(self) -> None:
        self.matcher = ScriptedMatcher()
        self.texts = TextTracker(self.matcher)

    def __call__(self, *prompts: TextPrompt, **scores: tuple[float, ...]) -> list[str]:
        """The states in one frame, in which these texts have these scores."""
        self.matcher.scores = {f"a {name}": given for name, given in scores.items()}
        selections = self.texts.update(make_frame(), TRACKED, prompts)
        assert [one.prompt_id for one in selections] == [one.prompt_id for one in prompts]
        return [one.status.state for one in selections if one.status is not None]


def test_text_is_none_until_the_first_match_and_lost_after_the_last():
    states = Frames()
    assert states(CUP, PLATE) == ["none", "none"]
    assert states(CUP, PLATE, cup=(0.7,)) == ["bound", "none"]
    assert states(CUP, PLATE, plate=(0.7,)) == ["lost", "bound"]
    assert states(CUP, PLATE) == ["lost", "lost"]


@pytest.mark.parametrize(
    ("scores", "confidence"),
    [
        pytest.param((0.2, 0.7), 0.7, id="the-best"),
        pytest.param((1.3,), 1.0, id="at-most-1"),
        pytest.param((-0.1,), 0.0, id="at-least-0"),
    ],
)
def test_match_has_a_confidence_and_no_track_id(scores: tuple[float, ...], confidence: float):
    frames = Frames()
    frames.matcher.scores = {"a cup": scores}
    (selection,) = frames.texts.update(make_frame(), TRACKED, [CUP])
    assert (selection.rows, selection.scores) == (tuple(range(len(scores))), scores)
    assert selection.status == PromptStatus("cup", "bound", confidence, -1)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([], id="no-text"),
        pytest.param([PLATE], id="another-text"),
        pytest.param([TextPrompt("cup", "a plate")], id="another-text-with-its-id"),
    ],
)
def test_removed_text_is_forgotten(between: list[TextPrompt]):
    states = Frames()
    assert states(CUP, cup=(0.7,)) == ["bound"]
    states(*between)
    assert states(CUP) == ["none"]


def test_matcher_may_set_the_status():
    states = Frames()
    states.matcher.status = PromptStatus("cup", "reacquired", 0.4, 7)
    assert states(CUP, cup=(0.9,)) == ["reacquired"]


def test_matcher_is_called_for_texts_only():
    states = Frames()
    assert states() == []
    assert states.matcher.num_calls == 0
    states(CUP)
    assert states.matcher.num_calls == 1


def test_missing_selection_is_an_error():
    class Silent(ScriptedMatcher):
        def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
            return []

    with pytest.raises(ValueError, match="zip"):
        TextTracker(Silent()).update(make_frame(), TRACKED, [CUP])


def test_without_a_matcher_texts_are_rejected():
    with pytest.raises(ConfigError, match="prompt 'cup' is a text prompt, but no text encoder is configured"):
        prepare_texts(None, [CUP])
    prepare_texts(None, [])
    assert TextTracker(None).update(make_frame(), TRACKED, []) == []


def test_matcher_that_cannot_be_loaded():
    with pytest.raises(EngineError, match="no such encoder"):
        prepare_texts(ScriptedMatcher(EngineError("no such encoder")), [CUP])
