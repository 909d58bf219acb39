"""The examples for robots run unchanged with only NumPy and pyzmq."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from streamseg.errors import DataError
from streamseg.publish import ControlServer, Publisher
from streamseg.structures.message import Message, PromptStatus
from tests.support.messages import disc, make_message, make_object
from tests.support.paths import REPOSITORY

FOLDER = REPOSITORY / "scripts" / "examples"
ANYWHERE = "tcp://127.0.0.1:0"

CUP = make_object(disc(9), 32, 8, track_id=3, prompt_ids=("everything", "cup"), box=(32.0, 8.0, 41.0, 17.0))


def message_with_prompt(state: str, *objects: Any, prompt_id: str = "cup") -> Message:
    objects = tuple(replace(found, prompt_ids=("everything", prompt_id)) for found in objects)
    return make_message(*objects, prompts=(PromptStatus(prompt_id, state, 0.5 if objects else 0.0, 3),))


class Run:
    """Stands in for `streamseg run`: publishes the current message repeatedly and accepts prompts."""

    def __init__(self, message: Message | None) -> None:
        self.message = message
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._is_over = threading.Event()
        self._publisher = Publisher(ANYWHERE)
        self._control = ControlServer(ANYWHERE, {"prompts.set": self._set, "prompts.clear": self._clear})
        self.endpoint, self.control_endpoint = self._publisher.endpoint, self._control.endpoint
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _set(self, args: dict[str, Any]) -> Any:
        self.calls.append(("prompts.set", args))
        if args["prompts"][0]["points"][0][0] > 64:
            raise DataError("the point lies outside the image")
        return {}

    def _clear(self, args: dict[str, Any]) -> Any:
        self.calls.append(("prompts.clear", args))
        return {}

    def _publish(self) -> None:
        index = 0
        while not self._is_over.wait(0.01):
            if (message := self.message) is not None:
                index += 1
                self._publisher.publish(replace(message, frame_index=index, captured_ns=time.time_ns()))

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._control.close()
        self._publisher.close()


@contextlib.contextmanager
def running(message: Message | None) -> Iterator[Run]:
    with contextlib.closing(Run(message)) as run:
        yield run


FORBID = """
import runpy, sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "cv2", "yaml", "pydantic", "av", "scipy", "supervision"}:
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Forbid())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def node(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FORBID, str(FOLDER / "robot_node.py"), *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(stream: Any, word: str) -> str:
    for line in stream:
        if word in line:
            return str(line)
    raise AssertionError(f"ended before printing {word!r}")


@pytest.mark.slow
def test_node_follows_selected_object_and_reports_its_loss():
    with running(message_with_prompt("bound", CUP)) as run:
        process = node(
            run.endpoint, "--control", run.control_endpoint, "--id", "cup", "--point", "36,12", "--fov", "90"
        )
        try:
            line = read_until(process.stdout, "bound")
            pattern = (
                r"cam0 #\d+  cup bound +0\.50  age +\d{1,4}\.\d ms  box 32,8,41,17 px  centroid 36\.5,12\.5 px"
                r"  bearing \+8\.0,\+19\.6 deg\n"
            )
            assert re.fullmatch(pattern, line)
            run.message = message_with_prompt("lost")
            assert "box" not in read_until(process.stdout, "lost")
            run.message = message_with_prompt("reacquired", CUP)
            assert "box" in read_until(process.stdout, "reacquired")
            run.message = None
            assert f"no message from {run.endpoint} for 1 s" in read_until(process.stderr, "no message")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=100)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0, err
        assert "Traceback" not in err
        assert run.calls == [
            ("prompts.set", {"prompts": [{"id": "cup", "points": [[36.0, 12.0]]}]}),
            ("prompts.clear", {"ids": ["cup"]}),
        ]


@pytest.mark.slow
def test_node_follows_existing_prompt_without_changing_it():
    with running(message_with_prompt("bound", CUP, prompt_id="click-1")) as run:
        process = node(run.endpoint, "--id", "click-1", "--count", "3", "--rate", "1000")
        out, err = process.communicate(timeout=100)
        assert (process.returncode, err, len(out.splitlines())) == (0, "", 3)
        assert run.calls == []


@pytest.mark.slow
def test_rejected_prompt_is_one_line_error():
    with running(None) as run:
        process = node(run.endpoint, "--control", run.control_endpoint, "--point", "1000,12")
        out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, "")
    assert err == "robot_node: prompts.set: the point lies outside the image\n"


@pytest.fixture(scope="module")
def robot_node() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robot_node", FOLDER / "robot_node.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["robot_node"] = module  # required by dataclasses
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "give --point X,Y", id="nothing-to-follow"),
        pytest.param(["--point", "3"], "a point must be X,Y", id="incomplete-point"),
        pytest.param(["--id", "a", "--rate", "0"], "above 0", id="no-rate"),
        pytest.param(["--id", "a", "--rate", "x"], "above 0", id="text"),
        pytest.param(["--id", "a", "--fov", "180"], "less than 180", id="no-pinhole"),
    ],
)
def test_invalid_arguments_are_reported(robot_node, arguments, message, capsys):
    with pytest.raises(SystemExit):
        robot_node.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("box", "bearing"),
    [
        pytest.param((31.0, 23.0, 33.0, 25.0), (0.0, 0.0), id="ahead"),
        pytest.param((63.0, 23.0, 65.0, 25.0), (45.0, 0.0), id="right-edge"),
        pytest.param((-1.0, 23.0, 1.0, 25.0), (-45.0, 0.0), id="left-edge"),
        pytest.param((31.0, -9.0, 33.0, -7.0), (0.0, 45.0), id="above"),
    ],
)
def test_bearings(robot_node, box, bearing):
    # Without pixels, the centroid is the centre of the box; at 90 degrees, the edge is 45 degrees off the axis.
    found = make_object(disc(9)[:0], 0, 0, box=box, prompt_ids=("cup",))
    assert robot_node.observe(make_message(found), "cup", 90.0).bearing == pytest.approx(bearing)


def test_unknown_prompt_has_state_none(robot_node):
    seen = robot_node.observe(make_message(), "cup", 90.0)
    assert (seen.state, seen.box, seen.bearing) == ("none", None, None)


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme_blocks_run(capsys):
    assert len(blocks()) == 2
    with running(message_with_prompt("bound", replace(CUP, box=(32.0, 8.0, 41.0, 17.0)))) as run:
        for number, block in enumerate(blocks()):
            block = block.replace("tcp://127.0.0.1:5555", run.endpoint).replace(
                "tcp://127.0.0.1:5556", run.control_endpoint
            )
            block = block.replace("[[320, 240]]", "[[36, 12]]")
            exec(compile(block, f"README.md, example {number}", "exec"), {})
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"3 None (32.0, 8.0, 41.0, 17.0) 36 12 {CUP.area}")
    assert out[1] == "bound 0.5 (32.0, 8.0, 41.0, 17.0) (36.5, 12.5)"
    assert run.calls == [("prompts.set", {"prompts": [{"id": "cup", "points": [[36, 12]]}]})]


@pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="supervision is not installed")
def test_readme_block_for_supervision_runs(capsys):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python supervision\n(.*?)```", text, flags=re.DOTALL)
    with running(message_with_prompt("bound", CUP)) as run:
        exec(compile(block.replace("tcp://127.0.0.1:5555", run.endpoint), "README.md", "exec"), {})
    assert "'cup'" in capsys.readouterr().out
