"""`streamseg yolo`: the command lines of Ultralytics, as they stand in READMEs.

    yolo segment predict model=FastSAM-s.pt source=dogs.jpg imgsz=640
    streamseg yolo segment predict model=FastSAM-s.pt source=dogs.jpg imgsz=640

Words are a task, a mode, `KEY=VALUE`, or the name of a switch. `fastsam/keys.py` lists the keys.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamseg.cli.logs import print_note
from streamseg.errors import ConfigError, counted

if TYPE_CHECKING:
    from streamseg.fastsam import FastSAM
    from streamseg.fastsam.keys import Kind, Mode
    from streamseg.fastsam.metrics import SegmentMetrics

__all__ = ["Command", "add_parser", "parse_words", "run"]

TASK: Final = "segment"
TASKS: Final = ("detect", "segment", "classify", "pose", "obb", "semantic")
"""Tasks of the originals; all but one are refused by name."""
MODE_NAMES: Final = ("predict", "track", "val", "train", "export")
MAX_LIST_CHARACTERS: Final = 100_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `yolo` to the command line."""
    parser = subparsers.add_parser(
        "yolo",
        help="command lines written for Ultralytics' yolo",
        description="Run a command line of Ultralytics' yolo, for example: streamseg yolo segment predict"
        " model=FastSAM-s.pt source=dogs.jpg. The only task is segment; the modes are"
        f" {', '.join(MODE_NAMES)}. Results are in runs/segment, as there.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="[segment] MODE KEY=VALUE …, in any order; further keys of streamseg: prompting=default for streamseg's"
        " own masks and matches",
    )
    parser.set_defaults(command=run, print_help=parser.print_help)


@dataclass(frozen=True)
class Command:
    """A parsed command line."""

    mode: Mode
    model: str
    prompting: str
    """Rules for masks and prompts, see `FastSAM`."""
    values: Mapping[str, Any]
    """Options of the mode, checked."""
    ignored: tuple[str, ...]
    """Keys without effect."""


def parse_words(words: Sequence[str]) -> Command:
    """Parse the words of a command line.

    Raises:
        ConfigError: a word is neither a task, a mode nor a known key; or a value is not allowed.
    """
    from streamseg.fastsam.keys import KEYS, MODES, UNAVAILABLE, WITHOUT_EFFECT, read_keys

    given: dict[str, str] = {}
    for word in words:
        key, separator, text = word.rstrip(",").partition("=")
        if not separator and key in TASKS:
            key, text = "task", key
        elif not separator and key in MODE_NAMES:
            key, text = "mode", key
        elif not separator and (key in WITHOUT_EFFECT or key in UNAVAILABLE or _is_flag(key)):
            text = "True"
        elif not separator:
            names = [TASK, *MODES, *(name for name, one in KEYS.items() if one.kind == "flag")]
            near = difflib.get_close_matches(key, names, n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; modes are {', '.join(MODES)}, a source is source={key}"
            )
            raise ConfigError(f"{word!r} is neither a mode nor KEY=VALUE{hint}")
        elif not text:
            raise ConfigError(f"{key} has no value; write {key}=VALUE")
        if key == "mode" and given.get("mode", text) != text:
            raise ConfigError(f"{given['mode']} and {text} are both modes; give one of them")
        given[key] = text
    task, name = given.pop("task", TASK), given.pop("mode", "predict")
    if task != TASK:
        raise ConfigError(f"task {task!r} is not available; the only task is {TASK}")
    mode = next((one for one in MODES if one == name), None)
    if mode is None:
        raise ConfigError(f"mode {name!r} is not available; available: {', '.join(MODES)}")
    model, prompting = given.pop("model", "default"), given.pop("prompting", "reference")
    checked = read_keys(mode, {key: _value(key, text) for key, text in given.items()})
    return Command(mode, model, prompting, checked.values, checked.ignored)


def run(args: argparse.Namespace) -> int:
    """Run the command line; results as on Ultralytics' command line are in `runs/segment`."""
    if args.words in ([], ["help"]):
        args.print_help()
        return 0
    command = parse_words(args.words)
    if command.mode in ("predict", "track") and "source" not in command.values:
        raise ConfigError(f"no source; write source=INPUT: streamseg yolo {command.mode} source=dogs.jpg")
    if command.ignored:
        print_note(f"without effect here: {', '.join(command.ignored)}", args)
    from streamseg.cli.named_weights import fetch_named
    from streamseg.fastsam import FastSAM

    fetch_named(command.model)
    model = FastSAM(command.model, prompting=command.prompting)  # type: ignore[arg-type]  # checked there
    values = dict(command.values)
    if command.mode == "export":
        print(f"wrote {model.export(**values)}")
    elif command.mode == "val":
        _measure(model, values)
    elif command.mode == "train":
        _train(model, values)
    else:
        _predict(model, command.mode, values)
    return 0


def _predict(model: FastSAM, mode: Mode, values: dict[str, Any]) -> None:
    from streamseg.cli.terminal import ProgressBar

    call = model.predict if mode == "predict" else model.track
    num_images = num_objects = 0
    folder = None
    with ProgressBar("images", None) as progress:
        for result in call(values.pop("source"), stream=True, **{"save": True, **values}):
            num_images += 1
            num_objects += len(result)
            folder = result.save_dir
            progress.update(num_images, counted(len(result), "object"))
    where = "" if folder is None else f" -> {folder}"
    print(f"{counted(num_images, 'image')}, {counted(num_objects, 'object')}{where}")


def _measure(model: FastSAM, values: dict[str, Any]) -> None:
    from streamseg.cli.terminal import ProgressBar

    with ProgressBar("images") as progress:
        metrics = model.val(on_image=progress, **values)
    _print_metrics(metrics)


def _train(model: FastSAM, values: dict[str, Any]) -> None:
    from streamseg.cli.terminal import LiveLine
    from streamseg.training.trainer import Progress

    with LiveLine() as line:

        def show(progress: Progress) -> None:
            losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
            line.show(
                f"{progress.step}/{progress.num_steps}  {losses}  {progress.images_per_second:.1f} images/s",
                share=progress.step / progress.num_steps,
            )

        metrics = model.train(report=show, **values)
    print(f"wrote {model.model_name}")
    if metrics is not None:
        _print_metrics(metrics)


def _print_metrics(metrics: SegmentMetrics) -> None:
    from streamseg.cli.terminal import Table, print_table

    rows = {"box": metrics.box.mean_results(), "mask": metrics.seg.mean_results()}
    print_table(
        Table(
            f"{counted(metrics.scores.num_objects, 'object')} in"
            f" {counted(metrics.scores.num_images, 'image')}, classes as one",
            ("", "precision", "recall", "mAP50", "mAP50-95"),
            tuple((name, *scores) for name, scores in rows.items()),
        )
    )


def _is_flag(key: str) -> bool:
    from streamseg.fastsam.keys import KEYS

    return key in KEYS and KEYS[key].kind == "flag"


def _value(key: str, text: str) -> Any:
    """Return a value as the type of its key; a text that has another type is returned as it is, and rejected later."""
    from streamseg.fastsam.keys import KEYS

    kind: Kind = KEYS[key].kind if key in KEYS else "any"
    switch = {"none": None, "true": True, "false": False}
    if text.lower() in switch and kind != "text":
        return switch[text.lower()]
    try:
        if kind == "integer":
            return int(text)
        if kind in ("flag", "number"):
            return float(text)
        if kind == "numbers":
            return _numbers(text)
    except ValueError:
        pass
    return text


def _numbers(text: str) -> Any:
    """Parse `640`, `640,480`, `[640, 480]` or a nested list; raise ValueError for anything else."""
    plain = text.replace("(", "[").replace(")", "]")
    if len(plain) > MAX_LIST_CHARACTERS:
        raise ValueError("too long")
    try:
        try:
            return json.loads(plain)
        except json.JSONDecodeError:
            return json.loads(f"[{plain}]")
    except RecursionError as error:
        raise ValueError("too deep") from error
