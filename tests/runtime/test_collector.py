"""The sink that collects a data set, alone and in a run whose data set is trained on."""

import json

import pytest

from streamseg.capture import open_source
from streamseg.cli.main import main
from streamseg.config import SceneSource
from streamseg.config.collect import CollectConfig
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.errors import DataError
from streamseg.runtime import Runtime, SinkPolicy
from streamseg.runtime.collector import Collector
from streamseg.runtime.operations import control_operations
from streamseg.structures.prompt import BoxPrompt
from tests.support.collected import CUP, CUP_AGAIN, prompted_result, status
from tests.support.limits import limited_file_size
from tests.support.stages import make_pipeline


def instances(folder):
    return json.loads((folder / "instances.json").read_text())


def collected(folder):
    """Return (reason, source, index of the image's frame) by annotation."""
    content = instances(folder)
    images = {one["id"]: one for one in content["images"]}
    found = [(one["reason"], images[one["image_id"]]) for one in content["annotations"]]
    return [(reason, image["source"], image["frame_index"]) for reason, image in found]


def collector(folder, **settings):
    return Collector(CollectConfig(folder=str(folder), **settings))


def test_frames_without_a_reason_are_not_stored(tmp_path):
    sink = collector(tmp_path)
    for index in range(20):
        sink.write(prompted_result(index))
    sink.close()
    sink.close()
    assert list((tmp_path / "images").iterdir()) == []
    assert instances(tmp_path)["images"] == []


def test_each_source_has_its_own_prompts_and_one_image_has_all_of_a_frame(tmp_path):
    sink = collector(tmp_path)
    both = (CUP, CUP_AGAIN.__class__("lid", CUP.point_coords, CUP.point_labels))
    lost = [status("lost"), status("lost", prompt_id="lid")]
    for source_id in ("left", "right"):
        sink.write(prompted_result(0, both, source_id=source_id))
    sink.write(prompted_result(1, both, lost, source_id="left"))
    sink.close()
    assert collected(tmp_path) == [("lost", "left", 1)] * 2
    assert len(instances(tmp_path)["images"]) == 1


def test_a_click_just_before_the_end_is_saved_as_not_confirmed(tmp_path):
    sink = collector(tmp_path)
    for index in range(3):
        sink.write(prompted_result(index, (CUP if index == 0 else CUP_AGAIN,)))
    sink.remove_source("cam")
    sink.write(prompted_result(0, source_id="other"))
    assert len(list((tmp_path / "images").iterdir())) == 1
    sink.close()
    assert collected(tmp_path) == [("corrected", "cam", 1)]
    assert [one["iscrowd"] for one in instances(tmp_path)["annotations"]] == [1]


def test_after_an_error_the_next_frame_is_a_new_attempt(tmp_path):
    sink = collector(tmp_path, interval_s=0)
    sink.write(prompted_result(0))
    with limited_file_size(10), pytest.raises(DataError, match="cannot collect images"):
        sink.write(prompted_result(1, statuses=[status(mask_quality=0.1)]))
    sink.write(prompted_result(2, statuses=[status(mask_quality=0.1)]))
    sink.close()
    assert collected(tmp_path) == [("uncertain", "cam", 2)]


class Script:
    """Changes the prompts of a run at given frames, in the thread that finishes frames."""

    policy = SinkPolicy("script", has_thread=False)

    def __init__(self, changes):
        self._changes = dict(changes)
        self.operations = None
        self.states = []

    def write(self, result):
        self.states.append([one.state for one in result.message.prompts])
        if result.frame.index in self._changes:
            name, arguments = self._changes[result.frame.index]
            self.operations[name](arguments)

    def close(self):
        pass


@pytest.mark.slow
def test_a_run_with_clicks_becomes_a_data_set_that_is_trained_on(tmp_path):
    folder = tmp_path / "collected"
    left, right = [12.0, 16.0, 56.0, 80.0], [72.0, 16.0, 116.0, 80.0]
    section = SceneSource(id="scene", width=128, height=96, num_objects=3, fps=10, num_frames=60, mode="every_frame")
    script = Script(
        {
            5: ("prompts.set", {"prompts": [{"id": "cup", "box": right}]}),
            45: ("prompts.set", {"prompts": [{"id": "cup", "points": [[34, 48]], "labels": [1]}]}),
            55: ("prompts.clear", {"ids": ["cup"]}),
        }
    )
    pipeline = make_pipeline([left, right], prompts=[BoxPrompt("cup", tuple(left))])
    with Runtime([open_source(section)], pipeline, [script, collector(folder)]) as runtime:
        script.operations = control_operations(runtime)
        runtime.run()

    assert collected(folder) == [("corrected", "scene", 6), ("corrected", "scene", 46), ("removed", "scene", 55)]
    assert [one["iscrowd"] for one in instances(folder)["annotations"]] == [0, 1, 1], "only the first one stood"
    assert instances(folder)["annotations"][0]["prompt"] == {"id": "cup", "box": right}
    samples = CocoFolder(folder)
    assert [samples.sample(index).background_weight for index in range(len(samples))] == [0.0] * 3
    [confirmed] = samples.sample(0).objects
    assert (confirmed.mask.x, confirmed.mask.y, confirmed.mask.crop.shape) == (72, 16, (64, 44))

    run = tmp_path / "run"
    changes = ["num_steps=2", "batch_size=2", "sizes=[32]", "num_warmup_steps=1", "half=false"]
    arguments = [word for change in changes for word in ("--set", change)]
    assert main(["collect", str(folder)]) == 0
    assert main(["train", str(folder), "--out", str(run), "--workers", "0", *arguments]) == 0
    assert (run / "weights.safetensors").is_file()
