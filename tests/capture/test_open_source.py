import pytest

from streamseg.capture import open_source
from streamseg.capture.images import ImageFiles
from streamseg.capture.network_stream import NetworkStream
from streamseg.capture.scene import RenderedScene
from streamseg.capture.video_file import VideoFile
from streamseg.capture.webcam import Webcam
from streamseg.config import ImagesSource, SceneSource, StreamSource, WebcamSource
from streamseg.errors import ConfigError
from tests.support.videos import write_video


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        pytest.param(SceneSource(id="a", width=64, height=64, num_objects=1), RenderedScene, id="scene"),
        pytest.param(WebcamSource(id="a"), Webcam, id="webcam"),
        pytest.param(StreamSource(id="a", url="rtsp://camera/live"), NetworkStream, id="network"),
        pytest.param(StreamSource(id="a", url="video.mp4"), VideoFile, id="file"),
        pytest.param(ImagesSource(id="a", path="."), ImageFiles, id="images"),
    ],
)
def test_each_section_creates_its_source(config, kind, tmp_path):
    if kind is VideoFile:
        config = config.model_copy(update={"url": str(write_video(tmp_path / "video.mp4", 2))})
    if kind is ImageFiles:
        (tmp_path / "a.png").touch()
        config = config.model_copy(update={"path": str(tmp_path)})
    source = open_source(config.model_copy(update={"frame_id": "camera_link"}))
    assert isinstance(source, kind)
    assert source.source_id == "a"
    assert source.frame_id == "camera_link"
    assert source.drops.snapshot() == {}
    source.stop()
    assert list(source.frames()) == [], "stopped before the first frame"


@pytest.mark.parametrize(
    ("config", "is_live"),
    [
        pytest.param(SceneSource(id="a", width=64, height=64), True, id="scene"),
        pytest.param(SceneSource(id="a", width=64, height=64, mode="every_frame"), False, id="scene, every frame"),
        pytest.param(WebcamSource(id="a"), True, id="webcam"),
        pytest.param(StreamSource(id="a", url="rtsp://camera/1"), True, id="network"),
        pytest.param(StreamSource(id="a", url="http://camera/1", mode="live"), True, id="network, live"),
        pytest.param(StreamSource(id="a", url="http://camera/1", mode="every_frame"), False, id="network, every frame"),
    ],
)
def test_is_live(config, is_live):
    assert open_source(config).is_live is is_live


def test_id_is_required():
    with pytest.raises(ConfigError, match="a webcam source needs an id"):
        open_source(WebcamSource())
