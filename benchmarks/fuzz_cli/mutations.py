"""Changes of files and command lines, as people and broken disks make them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOSTILE = (
    *("", " ", "0", "-1", "nan", "inf", "1e999", "-0.0", "1.5", "99999", "99999999999999999999", "null", "true", "~"),
    *("x", "é", "\udcff", "\x00", "x" * 300, "x" * 5000, "a\nb", "%s{}", "[[", "[]", "{}", "[[1e400, 2]]"),
    *("[1, [2]]", '{"a": 1}', ".", "..", "a/b/c", "config.yaml/a", "config.yaml", "photo.jpg", "things", "video.mp4"),
    *("net.safetensors", "net.pt", "images", "gone.png", "*.png", "[", "scene", "rtsp://admin:s#t@h/x", "--help", "-v"),
    *("rtsp://127.0.0.1:1/x", "http://127.0.0.1:1/x.mp4", "tcp://127.0.0.1:1", "--", "-", "@file"),
)
"""Values in place of an argument or a YAML value. All paths stay in the folder of the run."""

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 2**70, "", "x", "0", "320.0", "\x00"),
    *([], {}, [[]], [1, 2], [[1, 2]], [[1, 2, 3]], [["x"] * 6], [[float("nan")] * 6], [[1e300] * 6], [[-5] * 6]),
    *({"size": [60, 80], "counts": "zz"}, {"size": [1, 1], "counts": [2**40]}, {"counts": []}, "../x"),
)


def change_arguments(arguments: list[str], chance: random.Random) -> list[str]:
    """Replace, remove, repeat, swap or change one to three arguments."""
    changed = list(arguments)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed)) if changed else 0
        kind = chance.randrange(6)
        if kind == 0 and changed:
            del changed[place]
        elif kind == 1 and changed:
            changed.insert(place, changed[place])
        elif kind == 2 and changed:
            other = chance.randrange(len(changed))
            changed[place], changed[other] = changed[other], changed[place]
        elif kind == 3:
            changed.insert(place, chance.choice(HOSTILE))
        elif changed:
            changed[place] = chance.choice(HOSTILE) if kind == 4 else change_text(changed[place], chance)
    return changed


def change_text(text: str, chance: random.Random) -> str:
    """Change, remove or insert one character."""
    place = chance.randrange(len(text) + 1)
    inserted = chance.choice("#:[]{}'\"-.,0 9e\t\n/\\&*!%@é")
    return text[:place] + chance.choice(("", inserted)) + text[place + chance.randint(0, 1) :]


def change_yaml(contents: bytes, chance: random.Random) -> bytes:
    """Change characters, lines or values of a text."""
    text = contents.decode()
    for _ in range(chance.randint(1, 3)):
        lines = text.splitlines(keepends=True) or ["\n"]
        place = chance.randrange(len(lines))
        kind = chance.randrange(5)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines.insert(place, chance.choice(lines))
        elif kind == 2 and ": " in lines[place]:
            parts = lines[place].split(": ")
            part = chance.randrange(1, len(parts))
            end = "".join(c for c in parts[part][1:] if c in ",]}\n")
            parts[part] = chance.choice(HOSTILE).encode(errors="replace").decode() + end
            lines[place] = ": ".join(parts)
        else:
            lines[place] = change_text(lines[place], chance)
        text = "".join(lines)
    return text.encode(errors="replace")


def change_json(contents: bytes, chance: random.Random) -> bytes:
    """Replace or remove one to three entries anywhere."""
    value = json.loads(contents)
    for _ in range(chance.randint(1, 3)):
        container: Any = value
        while True:
            keys = list(container) if isinstance(container, dict) else list(range(len(container)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(container[key], dict | list) and container[key] and chance.random() < 0.8:
                container = container[key]
                continue
            if chance.random() < 0.25:
                del container[key]
            else:
                container[key] = chance.choice(VALUES)
            break
    return json.dumps(value).encode()


def change_bytes(contents: bytes, chance: random.Random) -> bytes:
    """Change a few bytes, mostly near the start."""
    mutated = bytearray(contents)
    for _ in range(chance.randint(1, 8) if mutated else 0):
        end = min(len(mutated), 200) if chance.random() < 0.6 else len(mutated)
        mutated[chance.randrange(end)] = chance.randrange(256)
    return bytes(mutated)


def cut(contents: bytes, chance: random.Random) -> bytes:
    """Remove the end, or everything, or append bytes."""
    kind = chance.randrange(4)
    if kind == 0:
        return b""
    return contents + chance.randbytes(50) if kind == 1 else contents[: chance.randrange(len(contents) + 1)]


def change_file(path: Path, others: list[Path], chance: random.Random) -> str:
    """Change one file, and return how."""
    contents = path.read_bytes()
    changes: list[Callable[[bytes, random.Random], bytes]] = [change_bytes, cut]
    if path.suffix == ".yaml":
        changes += [change_yaml] * 6
    elif path.suffix == ".json":
        changes += [change_json] * 6
    kind = chance.randrange(12)
    if kind == 0:
        path.unlink()
        return "remove"
    if kind == 1:
        path.write_bytes(chance.choice(others).read_bytes())
        return "other_kind"
    if kind == 2 and path.suffix != ".pt":
        path.unlink()
        path.mkdir()
        return "folder"
    change = chance.choice(changes)
    path.write_bytes(change(contents, chance))
    return change.__name__
