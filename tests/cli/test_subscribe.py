"""`streamseg subscribe`: text and JSON."""

import argparse
import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as reference

from streamseg.cli import subscribe
from streamseg.errors import PublishError, WireError
from streamseg.publish import Publisher
from streamseg.structures.message import PromptStatus
from tests.support.messages import disc, make_message, make_object

MESSAGE = make_message(
    make_object(disc(9), 3, 2, label="Käse"), make_object(disc(20), 30, 20), drops={"capture": {"newer_frame": 3}}
)


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    subscribe.add_parser(parser.add_subparsers())
    args = parser.parse_args(["subscribe", *words])
    return args.command(args)


@contextmanager
def publishing(*messages):
    """Publish the messages in turn, each as soon as the previous one was sent."""
    is_over = threading.Event()

    def publish():
        while not is_over.is_set():
            for message in messages:
                publisher.publish(message, wait_seconds=1)
            is_over.wait(0.002)

    with Publisher("tcp://127.0.0.1:0") as publisher:
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield publisher
        finally:
            is_over.set()
            thread.join()


def test_text_is_one_line_per_message(capsys):
    with publishing(MESSAGE, replace(MESSAGE, source_id="cam1", objects=MESSAGE.objects[:1])) as publisher:
        assert _run(publisher.endpoint, "--count", "6", "--timeout", "60") == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert (len(lines), output.err) == (6, "")
    assert all(line.startswith(("cam0 ", "cam1 ")) and " age " in line and line.endswith(" lost") for line in lines)
    assert any(line.startswith("cam0") and "  2 objects" in line for line in lines)
    assert any(line.startswith("cam1") and "  1 object " in line for line in lines)
    assert any(line.split(" fps")[0].split()[-1] != "–" for line in lines)


def test_json_is_one_line_per_message(capsys):
    with publishing(MESSAGE) as publisher:
        assert _run(publisher.endpoint, "--json", "--count", "2", "--timeout", "60") == 0
        epoch = publisher.epoch
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["seq"] < second["seq"]
    assert (first["source"], first["epoch"], first["index"], first["image"]) == ("cam0", epoch, 42, {"w": 64, "h": 48})
    assert first["stamp"] == {"sec": 1_700_000_000, "nanosec": 250_000_000}
    assert first["drops"]["capture"] == {"newer_frame": 3}
    assert first["objects"][0] == {
        "track_id": 7, "prompt_ids": ["everything"], "box": [3, 2, 12, 11], "score": 0.5,
        "area": MESSAGE.objects[0].area, "label": "Käse",
    }  # fmt: skip


STATUSES = (
    PromptStatus("cup", "bound", 0.974, 3, 0.81),
    PromptStatus("Tür", "lost", 0.0, 5),
    PromptStatus("dog", "reacquired", 0.5, 12),
    PromptStatus("cat", "none"),
    PromptStatus("red", "bound", 0.4),
)


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        pytest.param((), " lost", id="none"),
        pytest.param(
            STATUSES,
            " lost  cup: bound #3 97% mask 81%, Tür: lost #5, dog: reacquired #12 50%, cat: none, red: bound 40%",
            id="each-state",
        ),
        pytest.param(
            tuple(PromptStatus(str(nth), "none") for nth in range(1000)),
            " lost  0: none, 1: none, 2: none, 3: none, 4: none, 5: none, 994 more",
            id="a-thousand",
        ),
        pytest.param((PromptStatus("\x1b[2J\na", "none"),), " lost  ?[2J?a: none", id="control-characters"),
    ],
)
def test_text_shows_the_state_of_prompts(capsys, prompts, expected):
    with publishing(replace(MESSAGE, prompts=prompts)) as publisher:
        assert _run(publisher.endpoint, "--count", "1", "--timeout", "60") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(expected)


def test_json_has_the_state_of_prompts(capsys):
    with publishing(replace(MESSAGE, prompts=STATUSES[:2])) as publisher:
        assert _run(publisher.endpoint, "--json", "--count", "1", "--timeout", "60") == 0
    assert json.loads(capsys.readouterr().out)["prompts"] == [
        {
            "id": "cup",
            "state": "bound",
            "confidence": 0.974,
            "mask_quality": 0.81,
            "track_id": 3,
            "mask_source": "proposal",
        },
        {
            "id": "Tür",
            "state": "lost",
            "confidence": 0.0,
            "mask_quality": None,
            "track_id": 5,
            "mask_source": None,
        },
    ]


def test_masks_are_coco_rle(capsys):
    with publishing(MESSAGE) as publisher:
        assert _run(publisher.endpoint, "--json", "--masks", "--count", "1", "--timeout", "60") == 0
    (line,) = capsys.readouterr().out.splitlines()
    for found, original in zip(json.loads(line)["objects"], MESSAGE.objects, strict=True):
        expected = reference.encode(np.asfortranarray(original.mask.full((48, 64)).view(np.uint8)))
        assert found["segmentation"] == {"size": [48, 64], "counts": expected["counts"].decode("ascii")}


def test_only_the_selected_sources_are_printed(capsys):
    messages = [replace(MESSAGE, source_id=source_id) for source_id in ("cam1", "cam10", "cam2")]
    with publishing(*messages) as publisher:
        words = ["--source", "cam1", "--source", "cam2", "--count", "6", "--timeout", "60", "--json"]
        assert _run(publisher.endpoint, *words) == 0
    assert {json.loads(line)["source"] for line in capsys.readouterr().out.splitlines()} == {"cam1", "cam2"}


def test_without_a_publisher_there_is_one_line_and_exit_code_1(capsys):
    assert _run("tcp://127.0.0.1:1", "--timeout", "0.05") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "streamseg: no message from tcp://127.0.0.1:1 within 0.05 s; no publisher is connected\n"


@pytest.mark.slow
def test_unknown_source_reports_the_publishers_sources(capsys):
    with Publisher("tcp://127.0.0.1:0") as publisher:
        publisher.publish(MESSAGE)
        publisher.publish(MESSAGE, wait_seconds=10)  # now the first one has been sent
        assert _run(publisher.endpoint, "--source", "cam9", "--timeout", "1") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("the publisher has cam0")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(["5555"], PublishError, id="no endpoint"),
        pytest.param(["tcp://127.0.0.1:0"], PublishError, id="no port"),
        pytest.param(["tcp://127.0.0.1:5555", "--source", "a/b"], WireError, id="no source id"),
    ],
)
def test_invalid_endpoint_or_source_raises(words, error):
    with pytest.raises(error):
        _run(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--count", "0"],
        ["--count", "-1"],
        ["--count", "x"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--timeout", "x"],
    ],
)
def test_numbers_out_of_range_are_rejected_by_the_parser(words, capsys):
    with pytest.raises(SystemExit) as caught:
        _run("tcp://127.0.0.1:5555", *words)
    assert caught.value.code == 2
    assert "must be" in capsys.readouterr().err
