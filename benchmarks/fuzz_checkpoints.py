"""Fuzz the checkpoint reader: each mutated file is read or rejected in limited time and memory, without execution.

    python -m benchmarks.fuzz_checkpoints --num 20000 --json benchmarks/results/fuzz_checkpoints.json

Bytes of the archive are changed and removed. In an archive with valid checksums, bytes, numbers and whole opcodes of
the pickle are changed, moved, removed and inserted, and storages are lengthened, shortened and replaced. An audit hook
of the interpreter records everything that is executed, imported or opened meanwhile.
"""

from __future__ import annotations

import faulthandler
import io
import pickletools
import random
import resource
import struct
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from benchmarks.harness import parser, report
from streamseg.errors import WeightsError
from streamseg.weights.checkpoint import read_checkpoint
from tests.support.checkpoints import official_checkpoint, official_classes, official_model, tiny_network
from tests.support.hostile import call, integer, name, storage, tensor, text

MAX_SECONDS = 10.0
"""Limit of processor time per file; the checkpoint of the largest network takes two seconds."""
MAX_MEGABYTES = 500
"""Limit of the memory that reading all files adds to the process."""
HANG_SECONDS = 120

SHARES = {"network": 0.02, "layers": 0.38, "tensors": 0.6}
"""Share of each original file; a complete checkpoint takes a hundred times as long as a few tensors."""

HARMFUL = ("os.", "subprocess.", "exec", "compile", "import", "pickle.", "socket.", "shutil.", "marshal.", "ctypes.")
"""Prefixes of audit events that reading a file must not cause."""

INSERTED = (
    call(name("os", "system"), text("exit 1")),
    call(name("builtins", "eval"), text("1")),
    call(name("builtins", "getattr"), name("os", "path"), text("system")),
    name("torch.nn.modules.conv", "Conv2d") + b")\x81",
    tensor([2**31], [0]),
    tensor([2, 2], [1, 1]),
    storage("0", 2**31),
    integer(2**63 - 1),
    b"\x82\x01",
    b"(ios\nsystem\n",
    b"Pos\n",
    b"N" + b"\x85" * 2000,
    b"2" * 50,
    b"0",
    b"(",
    b"t",
    b"R",
    b"b",
    b"u",
    b"s",
    b"e",
    b"Q",
    b"}",
    b"]",
)


@dataclass(frozen=True)
class Original:
    """A valid file and its parts."""

    contents: bytes
    files: dict[str, bytes]
    program_path: str
    steps: list[int]
    """Offset of each opcode of the pickle."""

    @classmethod
    def from_file(cls, path: Path) -> Original:
        """Split a file into its parts."""
        with zipfile.ZipFile(path) as archive:
            files = {entry: archive.read(entry) for entry in archive.namelist()}
        program_path = next(entry for entry in files if entry.endswith("data.pkl"))
        steps = [position or 0 for _, _, position in pickletools.genops(files[program_path])]
        return cls(path.read_bytes(), files, program_path, steps)


@dataclass
class Outcome:
    """Results of all files."""

    num_files: int = 0
    num_read: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    events: list[str] = field(default_factory=list)


def write_originals(folder: Path) -> dict[str, Original]:
    """Write the files to mutate: a complete checkpoint, one with only two layers, and a few tensors."""
    network = tiny_network()
    official_checkpoint(network, folder / "network.pt")
    with official_classes() as classes:
        model = official_model(network, classes)
        model.model = nn.Sequential(model.model[0], model.model[2])
        torch.save({"model": model.half(), "ema": None, "train_args": {"imgsz": 640}}, folder / "layers.pt")
    tensors = {f"model.{i}.conv.weight": torch.rand(8, 3, 3, 3) for i in range(6)}
    torch.save(tensors, folder / "tensors.pt")
    return {kind: Original.from_file(folder / f"{kind}.pt") for kind in SHARES}


def archive(files: dict[str, bytes]) -> bytes:
    """Return a valid archive with any contents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as output:
        for path, contents in files.items():
            output.writestr(zipfile.ZipInfo(path), contents)
    return stream.getvalue()


def flip_in_archive(original: Original, chance: random.Random) -> bytes:
    """Change a few bytes anywhere, mostly in the archive's directory."""
    mutated = bytearray(original.contents)
    directory = struct.unpack_from("<I", mutated, len(mutated) - 6)[0]
    for _ in range(chance.randint(1, 4)):
        low = directory if chance.random() < 0.6 else 0
        mutated[chance.randrange(low, len(mutated))] = chance.randrange(256)
    return bytes(mutated)


def truncate(original: Original, chance: random.Random) -> bytes:
    """Remove the end, or append data."""
    if chance.random() < 0.2:
        return original.contents + chance.randbytes(chance.randint(1, 40))
    return original.contents[: chance.randrange(len(original.contents))]


def flip_in_pickle(original: Original, chance: random.Random) -> bytes:
    """Change a few bytes of the pickle."""
    mutated = bytearray(original.files[original.program_path])
    for _ in range(chance.randint(1, 5)):
        mutated[chance.randrange(len(mutated))] = chance.randrange(256)
    return archive({**original.files, original.program_path: bytes(mutated)})


def splice_opcodes(original: Original, chance: random.Random) -> bytes:
    """Remove, repeat, swap or insert whole opcodes."""
    program = original.files[original.program_path]
    ends = [*original.steps[1:], len(program)]
    steps = [program[start:end] for start, end in zip(original.steps, ends, strict=True)]
    for _ in range(chance.randint(1, 3)):
        first = chance.randrange(1, len(steps))
        count = chance.randint(1, 12)
        kind = chance.randrange(4)
        if kind == 0:
            del steps[first : first + count]
        elif kind == 1:
            steps[first:first] = steps[first : first + count]
        elif kind == 2:
            other = chance.randrange(1, len(steps))
            steps[first], steps[min(other, len(steps) - 1)] = steps[min(other, len(steps) - 1)], steps[first]
        else:
            steps.insert(first, chance.choice(INSERTED))
        if len(steps) < 2:
            break
    return archive({**original.files, original.program_path: b"".join(steps)})


def change_numbers(original: Original, chance: random.Random) -> bytes:
    """Change small integers of the pickle: shapes, strides, offsets, storage sizes."""
    mutated = bytearray(original.files[original.program_path])
    places = [start for start in original.steps if mutated[start : start + 1] in (b"K", b"M", b"J")]
    for start in chance.sample(places, min(chance.randint(1, 3), len(places))):
        width = {b"K": 1, b"M": 2, b"J": 4}[bytes(mutated[start : start + 1])]
        mutated[start + 1 : start + 1 + width] = chance.choice(
            (bytes(width), b"\xff" * width, chance.randbytes(width), b"\1" + bytes(width - 1))
        )
    return archive({**original.files, original.program_path: bytes(mutated)})


def change_storages(original: Original, chance: random.Random) -> bytes:
    """Lengthen, shorten, replace, remove or add entries."""
    files = dict(original.files)
    path = chance.choice(list(files))
    contents = files[path]
    kind = chance.randrange(5)
    if kind == 0:
        files[path] = contents + chance.randbytes(chance.randint(1, 64))
    elif kind == 1:
        files[path] = contents[: chance.randrange(len(contents) + 1)]
    elif kind == 2:
        files[path] = chance.randbytes(len(contents))
    elif kind == 3:
        del files[path]
    else:
        files[path + chance.choice(("0", "/..", "/x", ".py"))] = contents
    return archive(files)


MUTATIONS: dict[str, Callable[[Original, random.Random], bytes]] = {
    function.__name__: function
    for function in (flip_in_archive, truncate, flip_in_pickle, splice_opcodes, change_numbers, change_storages)
}


def fuzz(num_files: int, *, seed: int = 0) -> Outcome:
    """Read `num_files` mutated files; exceptions other than `WeightsError` propagate."""
    chance = random.Random(seed)
    outcome = Outcome()
    with TemporaryDirectory() as folder:
        originals = write_originals(Path(folder))
        path = Path(folder) / "mutated.pt"
        read_checkpoint(Path(folder) / "network.pt")
        monitor = AuditMonitor(path)
        for _ in range(num_files):
            original = originals[chance.choices(list(SHARES), list(SHARES.values()))[0]]
            mutation = chance.choice(list(MUTATIONS))
            path.write_bytes(MUTATIONS[mutation](original, chance))
            outcome.num_files += 1
            outcome.mutations[mutation] += 1
            started = time.process_time()
            with monitor:
                try:
                    read_checkpoint(path)
                    outcome.num_read += 1
                except WeightsError as error:
                    message = str(error)
                    if "\n" in message or not message.startswith(str(path)):
                        raise AssertionError(f"an error that is not one line about the file: {message!r}") from error
                    outcome.rejections[reason(message.removeprefix(f"{path}: "))] += 1
            outcome.slowest_seconds = max(outcome.slowest_seconds, time.process_time() - started)
        outcome.events = monitor.close()
    return outcome


def reason(message: str) -> str:
    """Return an error message without the details of one file."""
    words = message.partition(";")[0].split()
    return " ".join(word for word in words[:9] if word.isalpha() or word.strip(":,").isalpha())


class AuditMonitor:
    """Records audit events inside the block; an audit hook cannot be removed, so it ignores events outside."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._is_active = False
        self._events: list[str] = []
        sys.addaudithook(self._record)

    def __enter__(self) -> None:
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        self._is_active = True

    def __exit__(self, *_: object) -> None:
        self._is_active = False
        faulthandler.cancel_dump_traceback_later()

    def close(self) -> list[str]:
        """Return the recorded events that must not happen."""
        return self._events

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_active:
            return
        is_other_file = event == "open" and str(arguments[0]) != self._path
        if is_other_file or event.startswith(HARMFUL):
            self._events.append(f"{event} {arguments!r}"[:200])


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--num", type=int, default=20_000, help="number of files (default %(default)s)")
    flags.add_argument("--seed", type=int, default=0, help="seed of the mutations (default %(default)s)")
    args = flags.parse_args()
    fuzz(100, seed=args.seed + 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = fuzz(args.num, seed=args.seed)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(f"{outcome.num_files} files: {outcome.num_read} read, {sum(outcome.rejections.values())} rejected")
    print(f"slowest {outcome.slowest_seconds:.2f} s of processor time, {megabytes} MB more memory")
    print(f"executed, imported or opened meanwhile: {outcome.events or 'nothing'}")
    for text_, count in outcome.rejections.most_common(12):
        print(f"  {count:6d}  {text_}")
    passed = outcome.slowest_seconds < MAX_SECONDS and megabytes < MAX_MEGABYTES and not outcome.events
    results = {
        "num_files": outcome.num_files,
        "num_read": outcome.num_read,
        "num_refused": sum(outcome.rejections.values()),
        "events": outcome.events,
        "slowest_seconds": round(outcome.slowest_seconds, 3),
        "added_megabytes": megabytes,
        "bounds": {"seconds": MAX_SECONDS, "megabytes": MAX_MEGABYTES},
        "mutations": dict(outcome.mutations),
        "refusals": dict(outcome.rejections.most_common()),
    }
    report(results, args.json)
    if not passed:
        raise SystemExit("a limit was exceeded, or a file caused execution")


if __name__ == "__main__":
    main()
