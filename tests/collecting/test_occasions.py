"""Which frames are worth labelling."""

from dataclasses import replace

import pytest

from streamseg.collecting import OccasionFinder
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, TextPrompt
from tests.support.collected import CUP, CUP_AGAIN, FPS, prompted_result, status

SECOND = int(FPS)


def find(script, *, interval_seconds=10.0, is_ended=True):
    """Return (reason, frame index, index of the mask's frame, is confirmed) of all occasions of a run.

    `script` maps frame indices to (prompts, statuses), which hold until the next one.
    """
    finder = OccasionFinder(interval_seconds=interval_seconds, uncertain_below=0.5)
    found, prompts, statuses = [], (CUP,), None
    for index in range(max(script) + 1):
        prompts, statuses = script.get(index, (prompts, statuses))
        found += finder.update(prompted_result(index, prompts, statuses))
    if is_ended:
        found += finder.end()
    return [(one.reason, one.frame.index, one.mask_frame_index, one.is_confirmed) for one in found]


SEEN = ((CUP,), None)
LOST = ((CUP,), [status("lost")])
NONE = ((CUP_AGAIN,), [status("none")])
UNSURE = ((CUP,), [status(mask_quality=0.3)])
STRANGER = ((CUP,), [status(confidence=0.1)])
CLICKED = ((CUP_AGAIN,), None)
BLURRED_CLICK = ((CUP_AGAIN,), [status(mask_quality=0.2)])
BOX = BoxPrompt("cup", (1.0, 1.0, 9.0, 9.0))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param({0: SEEN, 50: SEEN}, [], id="followed all the time"),
        pytest.param({0: SEEN, 5: LOST, 30: LOST}, [("lost", 5, 4, False)], id="lost"),
        pytest.param({0: LOST, 30: LOST}, [], id="never seen"),
        pytest.param(
            {0: SEEN, 5: LOST, 7: SEEN, 9: LOST}, [("lost", 5, 4, False)], id="lost again within the interval"
        ),
        pytest.param(
            {0: SEEN, 5: LOST, 7: SEEN, 110: LOST, 111: LOST},
            [("lost", 5, 4, False), ("lost", 110, 109, False)],
            id="lost again later",
        ),
        pytest.param({0: SEEN, 3: UNSURE, 40: UNSURE}, [("uncertain", 3, 3, False)], id="uncertain"),
        pytest.param({0: STRANGER, 5: STRANGER}, [("uncertain", 0, 0, False)], id="another object"),
        pytest.param({0: UNSURE, 101: UNSURE}, [("uncertain", 0, 0, False), ("uncertain", 100, 100, False)], id="long"),
        pytest.param({0: SEEN, 4: CLICKED, 40: CLICKED}, [("corrected", 4, 4, True)], id="corrected"),
        pytest.param({0: LOST, 4: CLICKED, 40: CLICKED}, [("corrected", 4, 4, True)], id="found by a click"),
        pytest.param({0: SEEN, 4: CLICKED, 20: CLICKED}, [("corrected", 4, 4, False)], id="ended too early"),
        pytest.param({0: SEEN, 4: BLURRED_CLICK, 40: CLICKED}, [("corrected", 4, 4, False)], id="with a poor mask"),
        pytest.param(
            {0: SEEN, 4: NONE, 9: CLICKED, 50: CLICKED}, [("corrected", 9, 9, True)], id="found after a while"
        ),
        pytest.param({0: SEEN, 4: NONE, 50: NONE}, [("corrected", 24, 24, False)], id="nothing found"),
        pytest.param(
            {0: SEEN, 4: CLICKED, 14: ((BOX,), None), 50: ((BOX,), None)},
            [("corrected", 4, 4, False), ("corrected", 14, 14, True)],
            id="corrected twice",
        ),
        pytest.param(
            {0: SEEN, 4: ((replace(CUP, step=1),), None), 40: ((replace(CUP, step=1),), None)},
            [("corrected", 4, 4, True)],
            id="the next candidate",
        ),
        pytest.param({0: SEEN, 4: ((replace(CUP, frame_index=2),), None)}, [], id="sent again from another frame"),
        pytest.param({0: SEEN, 4: ((), []), 9: ((), [])}, [("removed", 3, 3, False)], id="removed"),
        pytest.param({0: LOST, 4: ((), [])}, [], id="removed while lost"),
        pytest.param(
            {0: SEEN, 4: CLICKED, 8: ((), [])},
            [("corrected", 4, 4, False), ("removed", 7, 7, False)],
            id="corrected and given up",
        ),
        pytest.param({0: ((replace(CUP, follow=False),), None), 4: ((), [])}, [], id="not followed"),
        pytest.param({0: ((TextPrompt("cup", "a cup"),), None), 4: ((), [])}, [], id="a text"),
        pytest.param({0: ((EverythingPrompt("cup"),), None), 4: ((), [])}, [], id="everything"),
    ],
)
def test_occasions(script, expected):
    assert find(script) == expected


def test_a_program_that_moves_its_box_does_not_click():
    moving = {index: ((BoxPrompt("cup", (index, 1.0, index + 9.0, 9.0)),), None) for index in range(40)}
    assert find(moving) == [("corrected", 1, 1, False)]


def test_several_prompts_are_told_apart_and_an_interval_of_zero_saves_each_frame():
    other = replace(CUP, prompt_id="lid")
    both = (CUP, other)
    script = {0: (both, None), 1: (both, [status("lost"), status(prompt_id="lid", mask_quality=0.1)]), 2: (both, None)}
    assert find(script, interval_seconds=0.0) == [("lost", 1, 0, False), ("uncertain", 1, 1, False)]


def test_frames_may_be_missing_and_change_their_size():
    finder = OccasionFinder(interval_seconds=0, uncertain_below=0.5)
    assert finder.update(prompted_result(0)) == []
    assert finder.update(prompted_result(9, size=(24, 32), statuses=[status("lost")])) == []
    assert finder.update(prompted_result(20, ())) == []


def test_a_correction_knows_both_prompts_and_the_image_of_its_mask():
    finder = OccasionFinder(interval_seconds=10, uncertain_below=0.5)
    results = [prompted_result(0), *(prompted_result(index, (CUP_AGAIN,), left={"cup": 30}) for index in range(1, 40))]
    [found] = [one for result in results for one in finder.update(result)]
    assert (found.prompt, found.before) == (CUP_AGAIN, CUP)
    assert found.frame is results[1].frame
    assert (found.mask.x, found.mask.y, found.mask.area) == (30, 16, 256)
