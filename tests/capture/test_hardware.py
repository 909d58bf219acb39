"""Where video is decoded: by configuration, and by what FFmpeg can open."""

import pytest
from av.codec.hwaccel import HWAccel

from streamseg.capture import hardware
from streamseg.capture.hardware import gpu_problem, hardware_decoder
from streamseg.capture.video_file import VideoFile
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from tests.support.videos import write_video


@pytest.mark.parametrize(
    ("decode", "problem", "kind"),
    [
        pytest.param("cpu", None, None, id="cpu, although there is a GPU"),
        pytest.param("auto", None, HWAccel, id="auto with a GPU"),
        pytest.param("auto", "no driver", None, id="auto without"),
        pytest.param("cuda", None, HWAccel, id="cuda"),
    ],
)
def test_device_follows_from_configuration_and_probe(decode, problem, kind, monkeypatch):
    monkeypatch.setattr(hardware, "gpu_problem", lambda: problem)
    found = hardware_decoder(decode, name="camera")
    assert found is None if kind is None else isinstance(found, kind)


def test_requested_gpu_that_cannot_be_opened_is_an_error(monkeypatch):
    monkeypatch.setattr(hardware, "gpu_problem", lambda: "no driver")
    with pytest.raises(SourceError, match=r"camera: .* \(no driver\); use decode auto or cpu"):
        hardware_decoder("cuda", name="camera")


def test_probe_of_this_machine_is_kept():
    assert gpu_problem() is gpu_problem()


def test_file_is_decoded_on_the_cpu_if_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "gpu_problem", lambda: "no driver")
    path = write_video(tmp_path / "video.mp4", num_frames=3)
    frames = {
        decode: [frame.image for frame in VideoFile(StreamSource(url=str(path), decode=decode)).frames()]
        for decode in ("cpu", "auto")
    }
    assert len(frames["auto"]) == 3
    assert all((one == other).all() for one, other in zip(*frames.values(), strict=True))
    with pytest.raises(SourceError, match="use decode auto or cpu"):
        VideoFile(StreamSource(url=str(path), decode="cuda"))
