"""How prompts come through the absences of their objects."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.prompt_tracking.methods import FOLLOWERS, Answers
from benchmarks.prompt_tracking.scenes import FPS, Step, whole_of
from streamseg.config import TrackingConfig
from streamseg.structures.instances import Tracked
from streamseg.tracking import Tracker

__all__ = ["Absences", "absences"]

MIN_ABSENCE_SECONDS = 0.2
ANSWER_SECONDS = 1.0


@dataclass(frozen=True)
class Absences:
    """How prompts came through the absences of their objects."""

    variant: str
    follower: str
    num_absences: int
    share_right: float
    """Answered the right object within `ANSWER_SECONDS` of its return."""
    share_wrong: float
    """Answered another object then."""
    share_right_long: float
    """The same as `share_right` of absences longer than the tracker's patience; NaN where there is none."""
    num_long: int
    purity: float
    """Of all answers in all frames, those that are the prompt's object; rows that are no object are left out."""
    share_whole: float
    """Of the same the share that is what the prompt's object is a part of; wrong in `purity`."""
    num_answers: int
    """All of them."""
    num_found: int
    """Times that a prompt went on to another identity, other than that of its object's whole."""
    share_found_right: float
    """Of those the share that went on to the prompt's object; NaN where there is none."""


def absences(name: str, sequences: Iterable[Sequence[Step]]) -> list[Absences]:
    """One row per follower."""
    returns: dict[str, list[tuple[float, bool, bool]]] = {follower: [] for follower in FOLLOWERS}
    answers: dict[str, list[tuple[int, int]]] = {follower: [] for follower in FOLLOWERS}
    founds: dict[str, list[bool]] = {follower: [] for follower in FOLLOWERS}
    for steps in sequences:
        tracked = _tracked(steps)
        for follower, make in FOLLOWERS.items():
            told, seen = _told(steps, tracked, make())
            returns[follower] += _returns(steps, told, seen)
            given = [
                (int(step.truth[row]), int(name))
                for step, rows in zip(steps, told, strict=True)
                for name, row in rows.items()
            ]
            answers[follower] += [(one, wanted) for one, wanted in given if one >= 0]
            founds[follower] += _founds(steps, tracked, told)
    patience = TrackingConfig().max_lost_seconds
    results = []
    for follower, found in returns.items():
        long = [right for seconds, right, _ in found if seconds > patience]
        results.append(
            Absences(
                variant=name,
                follower=follower,
                num_absences=len(found),
                share_right=_share([right for _, right, _ in found]),
                share_wrong=_share([wrong for _, _, wrong in found]),
                share_right_long=_share(long),
                num_long=len(long),
                purity=_share([one == wanted for one, wanted in answers[follower]]),
                share_whole=_share([one == whole_of(wanted) != wanted for one, wanted in answers[follower]]),
                num_answers=len(answers[follower]),
                num_found=len(founds[follower]),
                share_found_right=_share(founds[follower]),
            )
        )
    return results


def _share(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")


def _tracked(steps: Sequence[Step]) -> list[Tracked]:
    """The same for all followers."""
    tracker = Tracker(TrackingConfig())
    return [tracker.update(step.instances, step.time_seconds) for step in steps]


def _told(
    steps: Sequence[Step], tracked: Sequence[Tracked], follower: Answers
) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """What the follower answers in each frame, and the frames in which each object is there."""
    told, seen = [], dict[int, list[int]]()
    for index, (step, rows) in enumerate(zip(steps, tracked, strict=True)):
        asked: dict[str, int] = {}
        for row, (truth, identity) in enumerate(zip(step.truth.tolist(), rows.track_ids.tolist(), strict=True)):
            if truth < 0:
                continue
            seen.setdefault(truth, []).append(index)
            # A person clicks on what is there for longer than a frame.
            if identity >= 0 and len(set(seen[truth])) >= 5:
                asked.setdefault(str(truth), row)
        told.append(follower.answers(rows, asked, index, step.time_seconds))
    return told, seen


def _founds(steps: Sequence[Step], tracked: Sequence[Tracked], told: Sequence[dict[str, int]]) -> list[bool]:
    """For each time that a prompt's answer has another identity than the last: whether it is the prompt's object."""
    last: dict[str, int] = {}  # identity of the last answer that was any
    founds = []
    for step, rows, answers in zip(steps, tracked, told, strict=True):
        for name, row in answers.items():
            identity, truth = int(rows.track_ids[row]), int(step.truth[row])
            if truth < 0 or truth == whole_of(int(name)) != int(name):
                continue
            if name in last and identity != last[name]:
                founds.append(truth == int(name))
            last[name] = identity
    return founds


def _returns(
    steps: Sequence[Step], told: Sequence[dict[str, int]], seen: dict[int, list[int]]
) -> list[tuple[float, bool, bool]]:
    """For each return of a prompt's object: seconds of absence, whether it was answered, whether another was."""
    found = []
    within = round(ANSWER_SECONDS * FPS)
    for truth, frames in seen.items():
        first_answer = next((index for index, rows in enumerate(told) if str(truth) in rows), None)
        visible = sorted(set(frames))
        for before, after in itertools.pairwise(visible):
            gone = steps[after].time_seconds - steps[before].time_seconds - 1 / FPS
            stays = sum(after <= frame < after + within for frame in visible) >= within // 2
            if first_answer is None or before < first_answer or gone < MIN_ABSENCE_SECONDS - 1e-6 or not stays:
                continue
            rows = [
                (told[index].get(str(truth)), steps[index].truth)
                for index in range(after, after + within)
                if index < len(steps)
            ]
            given = [int(ids[row]) for row, ids in rows if row is not None]
            # The last word counts: an answer that was given up again is none.
            right = bool(given) and given[-1] == truth
            found.append((gone, right, bool(given) and given[-1] not in (truth, -1)))
    return found
