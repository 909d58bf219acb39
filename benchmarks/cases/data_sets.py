"""Cases of labelled folders."""

from __future__ import annotations

import re

from benchmarks.cases.harness import Case, Workspace, require

__all__ = ["CASES"]


def evaluated(workspace: Workspace, name: str, *, skipped: str | None) -> str:
    """The folder is evaluated; what cannot be used is named with its file, counted, and fails with --strict."""
    done = workspace.streamseg("eval", "proposals", "--data", workspace.inputs / name, "--json", "e.json").require(0)
    require((workspace.results / "e.json").is_file(), "no result")
    if skipped is None:
        require("skipped" not in done.text, f"skipped: {done.text}")
        return "evaluated, nothing skipped"
    require(re.search(r"\b1\b.*skipped", done.text), f"not counted: {done.text}")
    require(skipped in done.text, f"not named: {done.text}")
    strict = workspace.streamseg("eval", "proposals", "--data", workspace.inputs / name, "--strict")
    require(strict.code == 2, f"--strict: exit code {strict.code}")
    return f"evaluated, 1 skipped, {skipped.strip()} named"


def one_skipped(workspace: Workspace, name: str) -> str:
    """The second annotation, or its ring, is skipped."""
    return evaluated(workspace, name, skipped="annotation 2 ")


def none_skipped(workspace: Workspace, name: str) -> str:
    """Everything is used."""
    return evaluated(workspace, name, skipped=None)


def exif(workspace: Workspace, name: str) -> str:
    """The turned image, whose labels fit the stored pixels, is used or named, and the rest is evaluated."""
    done = workspace.streamseg("eval", "proposals", "--data", workspace.inputs / name, "--json", "e.json").require(0)
    require((workspace.results / "e.json").is_file(), "no result")
    require("skipped" not in done.text or "1.jpg" in done.text, f"not named: {done.text}")
    return "evaluated, 1.jpg named" if "1.jpg" in done.text else "evaluated, nothing skipped"


def late(workspace: Workspace, name: str) -> str:
    """The annotation of image 201 is reported before the first step."""
    arguments = ("train", workspace.inputs / "recipe.yaml", "--data", workspace.inputs, "--workers", "0")
    done = workspace.streamseg(*arguments, "--out", "R", "--set", "num_steps=3")
    done.require(0)
    require(re.search(r"annotation 201|id 201|201", done.text), f"not named: {done.text[-300:]}")
    place, step = done.error.find("201"), done.text.find("step ")
    require(place >= 0, "named only after the steps" if step >= 0 else done.text[-300:])
    strict = workspace.streamseg(*arguments, "--out", "S", "--set", "num_steps=200", "--strict")
    require(strict.code == 2 and "201" in strict.error, f"--strict: exit code {strict.code}")
    require(strict.seconds < 60, f"--strict: only after {strict.seconds:.0f} s")
    return f"annotation 201 named before step 1; --strict ends after {strict.seconds:.0f} s"


def crowd(workspace: Workspace, name: str) -> str:
    """`"iscrowd": "0"` is no crowd."""
    done = workspace.python(
        "from pathlib import Path; from streamseg.datasets.coco_folder import CocoFolder as C\n"
        f"print([o.is_crowd for o in C(Path(I + {name!r})).sample(0).objects])"
    ).require(0)
    require(done.output.split("\n")[-2] == "[False, False]", done.output)
    return done.output.strip()


CASES = (
    Case("coco_ring2pts", "the ring of 2 points is named and skipped, exit code 0", one_skipped),
    Case("coco_emptyseg", "the empty annotation is named and skipped, exit code 0", one_skipped),
    Case("coco_outside3px", "3 pixels outside are clipped", none_skipped),
    Case("coco_floatsize", "320.0 is 320", none_skipped),
    Case("coco_exif", "the rest is evaluated; the turned image is used or named", exif),
    Case("coco_late", "named before step 1", late),
    Case("coco_crowdstr", "[False, False]", crowd),
)
