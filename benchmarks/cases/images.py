"""Cases of image files."""

from __future__ import annotations

import cv2

from benchmarks.cases.harness import Case, Workspace, require

__all__ = ["CASES"]


def mixed(workspace: Workspace, name: str) -> str:
    """The cut image is named and counted, all others are segmented; `--strict` ends with 2."""
    done = workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    require((workspace.results / "o" / "instances.json").is_file(), "no instances.json")
    require("b.jpg" in done.text and "1 skipped" in done.text, "the cut image is not named and counted")
    overlays = sorted(path.stem for path in (workspace.results / "o").glob("*.png"))
    require(overlays == ["a", "c", "d", "e"], f"overlays {overlays}")
    strict = workspace.streamseg("segment", workspace.inputs / name, "--out", "s", "--strict", "--no-overlay")
    require(strict.code == 2, f"--strict: exit code {strict.code}")
    return f"images {', '.join(overlays)}; b.jpg skipped and named"


def jfif(workspace: Workspace, name: str) -> str:
    """The overlay is a PNG, upright as its EXIF turn says."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    files = sorted(path.name for path in (workspace.results / "o").iterdir())
    require(not [one for one in files if one.endswith(".mp4")], f"files {files}")
    overlays = list((workspace.results / "o").glob("*.png"))
    require(len(overlays) == 1, f"files {files}")
    image = cv2.imread(str(overlays[0]))
    require(image is not None and image.shape[:2] == (320, 200), f"size {None if image is None else image.shape}")
    return f"{overlays[0].name}, 200x320"


def brackets(workspace: Workspace, name: str) -> str:
    """FastSAM's flags accept a file name with the characters of a pattern."""
    arguments = ("--model_path", "default", "--img_path", workspace.inputs / name, "--output", "o/")
    workspace.streamseg("segment", *arguments).require(0)
    image = cv2.imread(str(workspace.results / "o" / name))
    require(image is not None, "no overlay")
    return f"o/{name}"


def gigapixel(workspace: Workspace, name: str) -> str:
    """One line and exit code 2."""
    done = workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(2)
    require("pixels" in done.error, done.error)
    return done.error.strip()[-120:]


def sixteen_bits(workspace: Workspace, name: str) -> str:
    """A path and an open image give the same number of objects."""
    done = workspace.python(
        "from PIL import Image; from streamseg.fastsam import FastSAM as F; m = F('default')\n"
        f"p = I + {name!r}\n"
        "print('counts', *(len(m(x, conf=.25)[0]) for x in (p, Image.open(p))))"
    ).require(0)
    line = next((line for line in done.output.splitlines() if line.startswith("counts")), "")
    counts = line.split()[1:]
    require(len(counts) == 2 and counts[0] == counts[1] != "0", line or done.error)
    return line


def exif(workspace: Workspace, name: str) -> str:
    """A path and an open image are turned alike."""
    done = workspace.python(
        "from PIL import Image; from streamseg.fastsam import FastSAM as F; m = F('default')\n"
        f"p = I + {name!r}\n"
        "print('shapes', *(m(x, conf=.25)[0].orig_shape for x in (p, Image.open(p))))"
    ).require(0)
    line = next((line for line in done.output.splitlines() if line.startswith("shapes")), "")
    require(line == "shapes (320, 200) (320, 200)", line or done.error)
    return line


CASES = (
    Case("mixed_folder.d", "a, c, d, e done; b named and counted; 2 with --strict", mixed),
    Case("photo.jfif", "a PNG overlay", jfif),
    Case("photo[1].jpg", "done: a file name, not a pattern", brackets),
    Case("gigapixel.png", "one line, exit code 2", gigapixel),
    Case("g16.png", "the same number of objects, not 0", sixteen_bits),
    Case("exif6.jpg", "the same shape from a path and an open image", exif),
)
