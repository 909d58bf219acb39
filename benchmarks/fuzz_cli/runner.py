"""Runs of mutated command lines in this process, and what is wrong with them."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from benchmarks.fuzz_cli.inputs import NETWORK, SEEDS, Seed, write_files
from benchmarks.fuzz_cli.mutations import change_arguments, change_file
from streamseg.cli.main import main

LIMIT_SECONDS = 20.0
"""Time after which a run is ended like by Ctrl-C; a mutated time-out or number of steps can be endless."""
HANG_SECONDS = 180
CODES = frozenset({0, 1, 2, 130})


@dataclass
class Outcome:
    """Results of all runs."""

    num_runs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    num_stopped: int = 0
    slowest_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    megabytes: int = 0
    """Memory that the runs added to the process."""

    def add(self, other: Outcome) -> None:
        """Add the results of other runs; of two processes, the larger one counts."""
        self.num_runs += other.num_runs
        self.num_stopped += other.num_stopped
        self.faults += other.faults
        for name in ("codes", "commands", "changes", "reasons"):
            getattr(self, name).update(getattr(other, name))
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.megabytes = max(self.megabytes, other.megabytes)


def fuzz(numbers: range, *, seed: int = 0) -> Outcome:
    """Run mutated command lines, each in a fresh folder; a run depends on `seed` and its number only."""
    outcome = Outcome()
    with TemporaryDirectory() as root, _environment(Path(root)):
        original = Path(root) / "original"
        original.mkdir()
        write_files(original)
        _silent_run(["segment", str(original / "photo.jpg"), "--out", str(Path(root) / "first"), *NETWORK], original)
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in numbers:
            chance = random.Random(f"{seed}/{number}")
            kind = chance.choices(SEEDS, [one.share for one in SEEDS])[0]
            folder = Path(root) / "work"
            shutil.copytree(original, folder)
            with contextlib.chdir(folder):
                _one(kind, folder, chance, outcome, f"run {number}")
            shutil.rmtree(folder)
        outcome.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024
    return outcome


def _silent_run(arguments: list[str], folder: Path) -> None:
    """Run once, so that libraries are loaded before memory is measured."""
    with contextlib.chdir(folder):
        # An interrupted import would leave half a module behind.
        run_once(arguments, limit_seconds=HANG_SECONDS)


def _one(kind: Seed, folder: Path, chance: random.Random, outcome: Outcome, name: str) -> None:
    arguments, changes = list(kind.arguments), []
    if not kind.files or chance.random() < 0.4:
        arguments = change_arguments(arguments, chance)
        changes.append("change_arguments")
    if kind.files and (not changes or chance.random() < 0.3):
        path = folder / chance.choice(kind.files)
        others = [folder / other for other in ("photo.jpg", "video.mp4", "config.yaml", "net.safetensors")]
        changes.append(change_file(path, others, chance))
    started = time.monotonic()
    code, output, error = run_once(arguments)
    seconds = time.monotonic() - started
    outcome.num_runs += 1
    outcome.codes[code] += 1
    outcome.commands[kind.arguments[0]] += 1
    outcome.changes.update(changes)
    outcome.num_stopped += code == 130
    outcome.slowest_seconds = max(outcome.slowest_seconds, seconds)
    problem = fault(code, output, error)
    if problem is not None:
        outcome.faults.append(f"{name}: {[one[:80] for one in arguments]} {changes}: {problem}")
    elif code == 2:
        outcome.reasons[reason(error)] += 1


def run_once(arguments: list[str], *, limit_seconds: float = LIMIT_SECONDS) -> tuple[int, str, str]:
    """Run the command line; return the exit code, -1 if an exception left it, standard output and standard error."""
    output, error = io.StringIO(), io.StringIO()
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=sys.__stderr__)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error), _limited(limit_seconds):
        try:
            code = main(arguments)
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else int(request.code is not None)
        except KeyboardInterrupt:
            code = 130
        except BaseException as exception:
            error.write(f"Traceback: {type(exception).__name__} left main(): {exception}")
            code = -1
    faulthandler.cancel_dump_traceback_later()
    return code, output.getvalue(), error.getvalue()


def fault(code: int, output: str, error: str) -> str | None:
    """Return what is wrong with a finished run; None if nothing is."""
    lines = error.strip().splitlines()
    if "Traceback" in output or "Traceback" in error:
        return f"a traceback: {lines[-1] if lines else output[-300:]}"
    if "internal error" in error:
        return next(line for line in lines if "internal error" in line)
    if code not in CODES:
        return f"exit code {code}"
    if code == 2 and not any(line.startswith("streamseg") for line in lines) and "skipped" not in output:
        return f"no line on the error: {error[-300:]!r}"
    return None


def reason(error: str) -> str:
    """Return the first words of an error without the details of one input."""
    line = next((line for line in error.splitlines() if line.startswith("streamseg")), "")
    return " ".join(word for word in line.split()[1:12] if word.strip(":;,").isalpha())


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Interrupt the block after the limit."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _environment(root: Path) -> Iterator[None]:
    """Keep caches and proxies away: nothing is downloaded, nothing of the user is read or written."""
    changes = {
        "STREAMSEG_CACHE": str(root / "cache"),
        "STREAMSEG_DATA": str(root / "none"),
        "STREAMSEG_DEBUG": "0",
        "OPENCV_LOG_LEVEL": "OFF",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1"),
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
