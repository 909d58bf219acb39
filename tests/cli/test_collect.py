"""The command that completes and counts a collected data set."""

import json

import numpy as np

from streamseg.cli.main import main
from streamseg.collecting import Record
from streamseg.publish.jpeg import encode_jpeg
from streamseg.runtime.collected_folder import CollectedFolder


def test_a_data_set_is_completed_and_counted_after_a_crash(tmp_path, capsys):
    with CollectedFolder(tmp_path) as folder:
        image = {"width": 4, "height": 4, "unmatched_prompts": [{"reason": "corrected"}]}
        folder.add(
            Record(image, ({"reason": "lost"}, {"reason": "lost"}), is_click=True),
            jpeg := encode_jpeg(np.zeros((4, 4, 3), np.uint8), 90),
        )
    (tmp_path / "instances.json").unlink()
    assert main(["collect", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}: 1 image, 0.0 MB; 1 corrected, 2 lost")
    assert len(json.loads((tmp_path / "instances.json").read_text())["annotations"]) == 2
    assert (tmp_path / "images" / "00000001.jpg").read_bytes() == jpeg


def test_another_folder_is_one_line(tmp_path, capsys):
    assert main(["collect", str(tmp_path)]) == 2
    assert "has no journal.jsonl; give a folder of streamseg run --collect FOLDER" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
