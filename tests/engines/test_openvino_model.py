import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streamseg.engines.openvino_model import describe_xml, read_onnx, read_xml, write_xml
from streamseg.errors import WeightsError
from tests.support.networks import lively_graph
from tests.support.openvino import WITH_OPENVINO

pytestmark = [pytest.mark.slow, WITH_OPENVINO]


@pytest.fixture(scope="module")
def source():
    return read_onnx(lively_graph(), path="graph")


@pytest.fixture
def pair(source, tmp_path):
    path = tmp_path / "n.xml"
    write_xml(source.model, source.metadata, path)
    return path


def test_metadata_of_onnx_files_are_read(source):
    assert source.metadata["streamseg_graph"] == "1"
    assert source.metadata["half"] == "false"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="none"),
        pytest.param({"a": 'quotes " and <tags> & \n lines', "b": "ü 12", "c": "true", "d": "7"}, id="markup"),
        pytest.param({"long": "x" * 200_000}, id="long"),
    ],
)
def test_metadata_survive_writing_and_reading(source, tmp_path, metadata):
    size = write_xml(source.model, metadata, tmp_path / "n.xml")
    read = read_xml(tmp_path / "n.xml").metadata
    assert read.pop("bin_sha256")
    assert read == metadata
    assert size == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert {file.name for file in tmp_path.iterdir()} == {"n.xml", "n.bin"}


def test_description_states_ports_and_size_of_both_files(pair):
    described = describe_xml(pair)
    assert described.inputs == {"images": "u8 [?,?,?,3]"}
    assert described.outputs["boxes"] == "f32 [?,?,4]"
    assert described.num_bytes == sum(file.stat().st_size for file in pair.parent.iterdir())
    assert described.metadata["half"] == "false"


def spoil_tensors(path):
    tensors = bytearray(path.with_suffix(".bin").read_bytes())
    tensors[len(tensors) // 2] ^= 1
    path.with_suffix(".bin").write_bytes(tensors)


def strip_metadata(path):
    tree = ElementTree.parse(path)
    for parent in tree.iter():
        for child in [one for one in parent if one.tag == "streamseg"]:
            parent.remove(child)
    tree.write(path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(spoil_tensors, "n.bin does not belong to it", id="other tensors"),
        pytest.param(lambda path: path.with_suffix(".bin").unlink(), "no file .*n.bin; .* a pair of", id="one file"),
        pytest.param(lambda path: path.unlink(), "no file .*n.xml", id="the other file"),
        pytest.param(truncate, "is not a usable OpenVINO model", id="truncated"),
        pytest.param(lambda path: path.write_bytes(b""), "is not a usable OpenVINO model", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\x00PNG"), "is not a usable OpenVINO model", id="other bytes"),
        pytest.param(strip_metadata, "streamseg did not write it", id="another program's"),
    ],
)
def test_damaged_pair_is_a_one_line_error(pair, spoil, message):
    spoil(pair)
    with pytest.raises(WeightsError, match=message) as caught:
        read_xml(pair)
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_written_is_a_one_line_error(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot write"):
        write_xml(source.model, {}, tmp_path / "file" / "n.xml")


IMPORT = """
import sys
if "imported" in sys.argv:
    import openvino_telemetry
from streamseg.engines.openvino_model import load_openvino
load_openvino()
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__, "openvino_telemetry" in sys.modules)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], "openvino.tools.ovc.telemetry_stub False", id="nothing-is-sent"),
        pytest.param(["imported"], "openvino_telemetry True", id="a-program-that-wants-it-decides"),
    ],
)
def test_import_is_not_reported_to_others(tmp_path: Path, arguments: list[str], expected: str):
    if arguments:
        pytest.importorskip("openvino_telemetry", reason="a part of OpenVINO that some systems leave out")
    # Declined in this home, so that the second case sends nothing either.
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_text("0")
    command = [sys.executable, "-c", IMPORT, *arguments]
    done = subprocess.run(
        command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.strip() == expected, done.stderr
