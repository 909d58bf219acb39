"""How texts stand, frame by frame and source by source."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from streamseg.errors import ConfigError, EngineError
from streamseg.prompting.text import TextPrompts
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.telemetry import StageTimer
from tests.support.frames import make_frame
from tests.support.stages import LEFT, make_instances

CUP, PLATE = TextPrompt("cup", "a cup"), TextPrompt("plate", "a plate")
TRACKED = Tracked(make_instances([LEFT, LEFT]), torch.tensor([1, 2]))


class Reader:
    """Answers each text with the scores that are written down for it.

    Args:
        error: why it cannot get ready.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.scores: dict[str, tuple[float, ...]] = {}
        self.status: PromptStatus | None = None
        self.num_reads = 0
        self.ended: list[str] = []
        self._error = error

    def prepare(self) -> None:
        if self._error is not None:
            raise self._error

    def end_source(self, source_id: str) -> None:
        self.ended.append(source_id)

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        self.num_reads += 1
        scores = [self.scores.get(one.text, ()) for one in prompts]
        return [
            Selection(one.prompt_id, tuple(range(len(given))), given, status=self.status)
            for one, given in zip(prompts, scores, strict=True)
        ]


class Asking:
    """Texts, who reads them, and what was asked last."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.texts = TextPrompts(self.reader)
        self.timer = StageTimer()

    def __call__(self, *prompts: TextPrompt, source_id: str = "a", **scores: tuple[float, ...]) -> list[str]:
        """The states in one frame, in which these texts have these scores."""
        self.reader.scores = {f"a {name}": given for name, given in scores.items()}
        answers = self.texts.answers(make_frame(source_id=source_id), TRACKED, prompts, timer=self.timer)
        assert [one.prompt_id for one in answers] == [one.prompt_id for one in prompts]
        return [one.status.state for one in answers if one.status is not None]


def test_a_text_is_none_until_something_answers_and_then_lost_when_nothing_does():
    ask = Asking()
    assert ask(CUP, PLATE) == ["none", "none"]
    assert ask(CUP, PLATE, cup=(0.7,)) == ["bound", "none"]
    assert ask(CUP, PLATE, plate=(0.7,)) == ["lost", "bound"]
    assert ask(CUP, PLATE) == ["lost", "lost"]


@pytest.mark.parametrize(
    ("scores", "confidence"),
    [
        pytest.param((0.2, 0.7), 0.7, id="the-best"),
        pytest.param((1.3,), 1.0, id="ends-at-1"),
        pytest.param((-0.1,), 0.0, id="ends-at-0"),
    ],
)
def test_what_answers_has_a_confidence_and_no_identity(scores: tuple[float, ...], confidence: float):
    ask = Asking()
    ask.reader.scores = {"a cup": scores}
    (answer,) = ask.texts.answers(make_frame(), TRACKED, [CUP], timer=ask.timer)
    assert (answer.rows, answer.scores) == (tuple(range(len(scores))), scores)
    assert answer.status == PromptStatus("cup", "bound", confidence, -1)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([], id="no-text"),
        pytest.param([PLATE], id="another-text"),
        pytest.param([TextPrompt("cup", "a plate")], id="another-text-under-its-id"),
    ],
)
def test_what_was_taken_back_is_forgotten(between: list[TextPrompt]):
    ask = Asking()
    assert ask(CUP, cup=(0.7,)) == ["bound"]
    ask(*between)
    assert ask(CUP) == ["none"]


def test_sources_know_nothing_of_each_other():
    ask = Asking()
    assert ask(CUP, cup=(0.7,)) == ["bound"]
    assert ask(CUP, source_id="b") == ["none"]
    ask.texts.end_source("b")
    assert ask(CUP) == ["lost"]
    ask.texts.end_source("a")
    assert ask(CUP) == ["none"]
    assert ask.reader.ended == ["b", "a"]


def test_who_reads_may_say_how_it_stands():
    ask = Asking()
    ask.reader.status = PromptStatus("cup", "reacquired", 0.4, 7)
    assert ask(CUP, cup=(0.9,)) == ["reacquired"]


def test_no_text_is_not_read():
    ask = Asking()
    assert ask() == []
    assert (ask.reader.num_reads, ask.timer.stages) == (0, {})
    ask(CUP)
    assert (ask.reader.num_reads, set(ask.timer.stages)) == (1, {"text"})


def test_an_answer_too_little_is_an_error():
    class Silent(Reader):
        def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
            return []

    with pytest.raises(ValueError, match="zip"):
        TextPrompts(Silent()).answers(make_frame(), TRACKED, [CUP], timer=StageTimer())


def test_where_nobody_can_read_nothing_may_be_asked():
    texts = TextPrompts(None)
    with pytest.raises(ConfigError, match="prompt 'cup' is a text, and nothing here can read"):
        texts.prepare(CUP)
    assert texts.answers(make_frame(), TRACKED, [], timer=StageTimer()) == []
    texts.end_source("a")


def test_who_cannot_get_ready_says_so():
    with pytest.raises(EngineError, match="no such encoder"):
        TextPrompts(Reader(EngineError("no such encoder"))).prepare(CUP)
