"""Effects over time: what is visible while a prompt has lost its object."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from streamseg.config.effect import EffectConfig
from streamseg.drawing.effect_book import EffectBook, EffectImage
from streamseg.drawing.effects import CHROMA_GREEN, load_style
from streamseg.structures.message import Message, PromptStatus
from tests.support.messages import disc, make_message, make_object

SIZE = (144, 192)
HOLD = 0.5


def book(kind: str = "cutout", **keys: object) -> EffectBook:
    return EffectBook(load_style(EffectConfig(kind=kind, hold_s=HOLD)), **keys)


def message(state: str | None, seconds: float, *, confidence: float = 0.9, track_id: int = 7) -> Message:
    """A frame in which the prompt `me` has a state; None: the prompt is not in force."""
    found = make_object(disc(60), 60, 40, prompt_ids=("everything", "me"))
    is_there = state in ("bound", "reacquired")
    prompts = () if state is None else (PromptStatus("me", state, confidence if is_there else 0.0, track_id),)
    return make_message(*([found] if is_there else []), size=SIZE, prompts=prompts, pts_seconds=seconds)


def grey(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, dtype=np.uint8)


def shown(effects: EffectBook, level: int, one: Message) -> list[int]:
    """The pixel at the middle of the object."""
    effect = effects.update(grey(level), one)
    assert effect is not None
    return effect()[70, 90].tolist()


def test_a_lost_object_fades_as_it_was_and_never_shows_new_pixels():
    effects = book()
    assert shown(effects, 50, message("bound", 0.0)) == [50, 50, 50]
    assert shown(effects, 200, message("lost", 0.1)) == [50, 50, 50]
    fading = shown(effects, 200, message("lost", 0.375))
    assert fading == [25, 114, 57]  # half way to green
    assert shown(effects, 200, message("lost", 0.5)) == list(CHROMA_GREEN)
    assert shown(effects, 200, message("reacquired", 0.6)) == [200, 200, 200]


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        pytest.param(None, 0.1, id="the prompt was removed"),
        pytest.param("lost", 0.6, id="lost for longer"),
        pytest.param("lost", -5.0, id="the clock was set back"),
    ],
)
def test_nothing_remains(after, seconds):
    effects = book()
    shown(effects, 50, message("bound", 0.0))
    assert shown(effects, 200, message(after, seconds)) == list(CHROMA_GREEN)


def test_an_object_that_is_more_likely_another_one_is_hidden():
    effects = book()
    shown(effects, 50, message("bound", 0.0))
    assert shown(effects, 200, message("bound", 0.6, confidence=0.2)) == list(CHROMA_GREEN)
    # A text has no track, and scores of its own.
    assert shown(effects, 200, message("bound", 0.7, confidence=0.2, track_id=-1)) == [200, 200, 200]
    assert shown(book("highlight"), 200, message("bound", 0.0, confidence=0.2)) == [200, 200, 200]


def test_highlight_shows_the_present_at_the_last_place():
    effects = book("highlight")
    shown(effects, 50, message("bound", 0.0))
    assert shown(effects, 200, message("lost", 0.1)) == [200, 200, 200]
    assert shown(effects, 200, message("lost", 0.6)) == [80, 80, 80]


def test_another_image_size_ends_what_was_held():
    effects = book()
    shown(effects, 50, message("bound", 0.0))
    small = replace(message("lost", 0.1), image_size=(48, 64), mask_size=(48, 64))
    effect = effects.update(np.zeros((48, 64, 3), dtype=np.uint8), small)
    assert effect is not None
    assert effect.layers == ()


def test_sources_are_independent_and_can_be_forgotten():
    effects = book()
    shown(effects, 50, message("bound", 0.0))
    assert shown(effects, 200, replace(message("lost", 0.1), source_id="other")) == list(CHROMA_GREEN)
    effects.forget("cam0")
    effects.forget("unknown")
    assert shown(effects, 200, message("lost", 0.1)) == list(CHROMA_GREEN)


def test_separate_images_hold_nothing():
    effects = book(hold=False)
    shown(effects, 50, message("bound", 0.0))
    assert shown(effects, 200, message("lost", 0.0)) == list(CHROMA_GREEN)


def test_without_an_effect_there_is_none():
    assert EffectBook(None).update(grey(1), message("bound", 0.0)) is None


def test_an_image_is_rendered_once_for_all_threads():
    effect = book(new_lock=threading.Lock).update(grey(9), message("bound", 0.0))
    assert isinstance(effect, EffectImage)
    images: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: images.append(effect())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is images[0] for one in images)


def test_for_a_file_cut_out_objects_are_transparent_unless_a_background_is_given():
    effect = book().update(grey(9), message("bound", 0.0))
    assert effect is not None
    assert effect.for_file().shape == (*SIZE, 4)
    given = EffectBook(load_style(EffectConfig(kind="cutout", background="#000000")))
    effect = given.update(grey(9), message("bound", 0.0))
    assert effect is not None
    assert effect.for_file().shape == (*SIZE, 3)
