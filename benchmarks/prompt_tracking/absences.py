"""Re-identification of prompts' objects after absences."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.prompt_tracking.methods import METHODS, Method
from benchmarks.prompt_tracking.scenes import FPS, Step, whole_of
from streamseg.config import TrackingConfig
from streamseg.structures.instances import Tracked
from streamseg.tracking import Tracker

__all__ = ["Absences", "absences"]

MIN_ABSENCE_SECONDS = 0.2
RETURN_SECONDS = 1.0
"""Time after an object's return within which its prompt should select it."""


@dataclass(frozen=True)
class Absences:
    """Scores of one method over all absences of one variant of the scene."""

    variant: str
    method: str
    num_absences: int
    share_right: float
    """Share of the absences after which the right object was selected within `RETURN_SECONDS`."""
    share_wrong: float
    """Share of the absences after which another object was selected."""
    share_tracked: float
    """Share of the absences after which the object has a track id within `RETURN_SECONDS`: what following by track ids
    can reach. That it is detected, with an IoU above 0.5, is what ends an absence."""
    share_right_long: float
    """`share_right` over the absences longer than the tracker's patience; NaN if there are none."""
    num_long: int
    purity: float
    """Share of all selected rows that are the prompt's object; rows that are no object are omitted."""
    share_whole: float
    """Share of the same rows that are the whole containing the prompt's object; they count as wrong in `purity`."""
    num_answers: int
    """Number of these rows."""
    num_found: int
    """Number of times a prompt moved to another identity, except that of its object's whole."""
    share_found_right: float
    """Share of these times in which the prompt moved to its object; NaN if there are none."""


class Return(NamedTuple):
    """One return of a prompt's object."""

    gone_seconds: float
    is_right: bool
    """True if the object was selected, in the end."""
    is_wrong: bool
    """True if another object was."""
    is_tracked: bool
    """True if the object had a track id in one of the frames."""


def absences(name: str, sequences: Iterable[Sequence[Step]]) -> list[Absences]:
    """Return one row per method."""
    returns: dict[str, list[Return]] = {method: [] for method in METHODS}
    selected: dict[str, list[tuple[int, int]]] = {method: [] for method in METHODS}
    reacquired: dict[str, list[bool]] = {method: [] for method in METHODS}
    for steps in sequences:
        tracked = _tracked(steps)
        for method, make in METHODS.items():
            selections, visible_frames = _run(steps, tracked, make())
            returns[method] += _returns(steps, tracked, selections, visible_frames)
            pairs = [
                (int(step.truth[row]), int(name))
                for step, rows in zip(steps, selections, strict=True)
                for name, row in rows.items()
            ]
            selected[method] += [(truth, expected) for truth, expected in pairs if truth >= 0]
            reacquired[method] += _reacquired(steps, tracked, selections)
    patience = TrackingConfig().max_lost_seconds
    results = []
    for method, found in returns.items():
        long = [one.is_right for one in found if one.gone_seconds > patience]
        results.append(
            Absences(
                variant=name,
                method=method,
                num_absences=len(found),
                share_right=_share([one.is_right for one in found]),
                share_wrong=_share([one.is_wrong for one in found]),
                share_tracked=_share([one.is_tracked for one in found]),
                share_right_long=_share(long),
                num_long=len(long),
                purity=_share([truth == expected for truth, expected in selected[method]]),
                share_whole=_share([truth == whole_of(expected) != expected for truth, expected in selected[method]]),
                num_answers=len(selected[method]),
                num_found=len(reacquired[method]),
                share_found_right=_share(reacquired[method]),
            )
        )
    return results


def _share(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")


def _tracked(steps: Sequence[Step]) -> list[Tracked]:
    """Track all objects; all methods use the same tracks."""
    tracker = Tracker(TrackingConfig())
    return [tracker.update(step.instances, step.time_seconds) for step in steps]


def _run(
    steps: Sequence[Step], tracked: Sequence[Tracked], method: Method
) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """Return the method's selected rows per frame, and the frames in which each object is visible."""
    selections, visible_frames = [], dict[int, list[int]]()
    for index, (step, rows) in enumerate(zip(steps, tracked, strict=True)):
        clicked: dict[str, int] = {}
        for row, (truth, identity) in enumerate(zip(step.truth.tolist(), rows.track_ids.tolist(), strict=True)):
            if truth < 0:
                continue
            visible_frames.setdefault(truth, []).append(index)
            # A person clicks on objects that are visible for longer than a frame.
            if identity >= 0 and len(set(visible_frames[truth])) >= 5:
                clicked.setdefault(str(truth), row)
        selections.append(method.select(rows, clicked, index, step.time_seconds))
    return selections, visible_frames


def _reacquired(steps: Sequence[Step], tracked: Sequence[Tracked], selections: Sequence[dict[str, int]]) -> list[bool]:
    """Return for each change of a prompt's selected identity whether the new one is the prompt's object."""
    last: dict[str, int] = {}  # last selected identity
    reacquired = []
    for step, rows, selected in zip(steps, tracked, selections, strict=True):
        for name, row in selected.items():
            identity, truth = int(rows.track_ids[row]), int(step.truth[row])
            if truth < 0 or truth == whole_of(int(name)) != int(name):
                continue
            if name in last and identity != last[name]:
                reacquired.append(truth == int(name))
            last[name] = identity
    return reacquired


def _returns(
    steps: Sequence[Step],
    tracked: Sequence[Tracked],
    selections: Sequence[dict[str, int]],
    visible_frames: dict[int, list[int]],
) -> list[Return]:
    """List the returns of prompts' objects."""
    found = []
    within = round(RETURN_SECONDS * FPS)
    for truth, frames in visible_frames.items():
        first_selected = next((index for index, rows in enumerate(selections) if str(truth) in rows), None)
        visible = sorted(set(frames))
        for before, after in itertools.pairwise(visible):
            gone = steps[after].time_seconds - steps[before].time_seconds - 1 / FPS
            stays = sum(after <= frame < after + within for frame in visible) >= within // 2
            if first_selected is None or before < first_selected or gone < MIN_ABSENCE_SECONDS - 1e-6 or not stays:
                continue
            frames_since = range(after, min(after + within, len(steps)))
            rows = [(selections[index].get(str(truth)), steps[index].truth) for index in frames_since]
            selected = [int(ids[row]) for row, ids in rows if row is not None]
            # The last selection counts, so a selection that was revoked does not.
            right = bool(selected) and selected[-1] == truth
            wrong = bool(selected) and selected[-1] not in (truth, -1)
            is_tracked = any(
                bool((_ids(tracked[index])[steps[index].truth == truth] >= 0).any()) for index in frames_since
            )
            found.append(Return(gone, right, wrong, is_tracked))
    return found


def _ids(tracked: Tracked) -> np.ndarray:
    return tracked.track_ids.numpy(force=True)
