import json
import socket
from pathlib import Path

import pytest

from streamseg.cli.modes import open_mode
from streamseg.config import Config, load_config
from streamseg.errors import ConfigError, DataError, PublishError, SourceError, StreamsegError, WeightsError
from streamseg.pipeline.mode import StreamsegMode
from streamseg.publish import ControlClient, Subscriber
from streamseg.runtime import SinkPolicy
from streamseg.runtime.session import _batch_sizes, open_runtime
from tests.support.stages import ListSink, seeded_weights, small_scene, small_settings
from tests.support.waiting import WAIT_SECONDS


def make_config(*sets: str, **scene: object) -> Config:
    config = load_config(sets=[*small_settings(), *sets])
    return Config.model_validate({**config.model_dump(), "sources": [small_scene(**scene)]})


@pytest.mark.slow
def test_run_from_a_scene_to_a_subscriber():
    config = make_config("prompts=[{id: all}]", frame_id="camera_link", num_frames=None)
    sink = ListSink()
    received = []
    with open_runtime(config, StreamsegMode(), [sink]) as session:
        assert session.endpoint is not None
        with Subscriber(session.endpoint) as subscriber:

            def receive(_: object) -> None:
                while len(received) < 3:
                    message = subscriber.receive(WAIT_SECONDS)
                    assert message is not None
                    received.append(message)
                session.runtime.stop()

            stats = session.runtime.run(receive, interval_seconds=0.05)
    assert sink.num_closed == 1
    assert stats.num_frames == len(sink.results)
    for message in received:
        assert (message.source_id, message.frame_id, message.image_size) == ("scene", "camera_link", (96, 128))
        assert 0 < len(message.objects) <= 5
        assert message.objects[0].prompt_ids == ("all",)
        assert 0 < message.age_ms < 5000


@pytest.mark.slow
def test_every_frame_reaches_the_message_file(tmp_path: Path):
    path = tmp_path / "messages.jsonl"
    config = make_config(f"output.messages={path}", num_frames=25, mode="every_frame")
    with open_runtime(config, StreamsegMode()) as session:
        session.runtime.run()
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == list(range(25))


@pytest.mark.slow
def test_control_channel_controls_the_run():
    config = make_config(num_frames=None)
    with open_runtime(config, StreamsegMode()) as session:
        assert session.control_endpoint is not None
        with ControlClient(session.control_endpoint) as client:

            def steer(_: object) -> None:
                assert client.call("pause") == {"paused": True}
                session.runtime.stop()

            stats = session.runtime.run(steer, interval_seconds=0.05)
    assert stats.is_paused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "num_objects"),
    [
        pytest.param("mode=streamseg", 0, id="streamseg"),
        pytest.param("mode=fastsam", 1, id="fastsam"),
        pytest.param("prompting=reference", 1, id="fastsam-by-its-former-key"),
    ],
)
def test_mode_reaches_the_messages(setting: str, num_objects: int):
    # No object fits a box of one pixel; only FastSAM mode selects one nevertheless.
    config = make_config(
        setting,
        "prompts=[{id: speck, box: [1, 1, 2, 2]}]",
        "publish.endpoint=null",
        "publish.control_endpoint=null",
        num_frames=2,
        mode="every_frame",
    )
    sink = ListSink()
    with open_runtime(config, open_mode(config.mode), [sink]) as session:
        session.runtime.run()
    assert [len(result.message.objects) for result in sink.results] == [num_objects] * 2


@pytest.mark.slow
def test_without_endpoints_there_is_no_socket():
    config = make_config("publish.endpoint=null", "publish.control_endpoint=null", num_frames=3, mode="every_frame")
    with open_runtime(config, StreamsegMode()) as session:
        assert (session.endpoint, session.single_endpoint, session.control_endpoint) == (None, None, None)
        assert session.runtime.run().num_frames == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        pytest.param("publish.endpoint=tcp://0.0.0.0:0", PublishError, "0.0.0.0", id="public-endpoint"),
        pytest.param("publish.endpoint=nonsense", PublishError, "nonsense", id="no-endpoint"),
        pytest.param("segmentation.weights=/nowhere/a.safetensors", WeightsError, "/nowhere", id="no-weights"),
        pytest.param("prompts=[{id: a, points: [[1, 2]], labels: [1, 1]}]", DataError, "2 labels", id="prompt"),
    ],
)
def test_failed_start_is_a_one_line_error_and_leaves_nothing_behind(
    tmp_path: Path, setting: str, error: type[StreamsegError], message: str
):
    path = tmp_path / "messages.jsonl"
    with pytest.raises(error) as caught, open_runtime(make_config(f"output.messages={path}", setting), StreamsegMode()):
        pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.slow
def test_output_that_cannot_be_written_is_an_error(tmp_path: Path):
    with (
        pytest.raises(DataError, match="cannot write the messages"),
        open_runtime(make_config(f"output.messages={tmp_path}"), StreamsegMode()),
    ):
        pass


@pytest.mark.slow
def test_prompts_survive_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "saved" / "prompts.json"
    weights = f"segmentation.weights={seeded_weights(confident=True)}"
    config = make_config(f"output.prompts={path}", "publish.endpoint=null", weights, num_frames=5, mode="every_frame")
    with open_runtime(config, StreamsegMode()) as session:
        assert not path.exists()
        session.operations["prompts.set"]({"prompts": [{"id": "cup", "points": [[64, 48]], "source": "scene"}]})
        session.operations["prompts.clear"]({"ids": ["everything"]})
        in_force = session.operations["prompts.list"]({})["prompts"]
        assert json.loads(path.read_text())["prompts"] == in_force, "a crash loses nothing"
        session.runtime.run()
    assert "scene" in json.loads(path.read_text())["memory"], "the state of the targets is saved at the end"
    sink = ListSink()
    with open_runtime(config, StreamsegMode(), [sink]) as session:
        assert session.operations["prompts.list"]({})["prompts"] == in_force
        session.runtime.run()
    assert [prompt.prompt_id for prompt in sink.results[0].message.prompts] == ["cup"]
    assert "replace those of the configuration" in caplog.text


@pytest.mark.slow
def test_prompts_are_saved_at_the_end_of_a_failed_run(tmp_path: Path):
    path = tmp_path / "prompts.json"
    config = make_config(f"output.prompts={path}", num_frames=None)
    failing = ListSink(fail_at=2, error=DataError("the disk is full"), policy=SinkPolicy("direct", has_thread=False))
    with (
        pytest.raises(DataError, match="the disk is full"),
        open_runtime(config, StreamsegMode(), [failing]) as session,
    ):
        session.runtime.run()
    assert json.loads(path.read_text())["prompts"] == [{"id": "everything"}]


def test_invalid_prompt_file_is_an_error_and_kept(tmp_path: Path):
    path = tmp_path / "prompts.json"
    path.write_text('{"version": 1, "prompts": [{"id": "cup", "points": []}]}')
    with (
        pytest.raises(DataError, match=r"cannot restore the prompts of .*prompts\.json: prompt 'cup' has no points"),
        open_runtime(make_config(f"output.prompts={path}"), StreamsegMode()),
    ):
        pass
    assert "cup" in path.read_text()


def test_path_where_prompts_cannot_be_saved_is_an_error(tmp_path: Path):
    with (
        pytest.raises(DataError, match="cannot save the prompts"),
        open_runtime(make_config(f"output.prompts={tmp_path}"), StreamsegMode()),
    ):
        pass


def test_missing_file_is_an_error():
    config = make_config()
    missing = Config.model_validate({**config.model_dump(), "sources": [{"type": "stream", "url": "/nowhere.mp4"}]})
    with pytest.raises(SourceError, match=r"/nowhere\.mp4"), open_runtime(missing, StreamsegMode()):
        pass


def test_single_part_endpoint_requires_the_other():
    config = make_config("publish.endpoint=null", "publish.single_endpoint=tcp://127.0.0.1:0")
    with pytest.raises(ConfigError, match=r"requires publish\.endpoint"), open_runtime(config, StreamsegMode()):
        pass


@pytest.mark.slow
def test_port_in_use_is_an_error_and_releases_other_ports():
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port = taken.getsockname()[1]
        free = other.getsockname()[1]
        other.close()
        config = make_config(
            f"publish.endpoint=tcp://127.0.0.1:{free}", f"publish.control_endpoint=tcp://127.0.0.1:{port}"
        )
        with pytest.raises(PublishError, match=str(port)), open_runtime(config, StreamsegMode()):
            pass
    with socket.create_server(("127.0.0.1", free)):
        pass


@pytest.mark.parametrize(
    ("device", "most", "sizes"),
    [
        pytest.param("cpu", 8, [1], id="CPU: any size is as fast"),
        pytest.param("cuda:0", 8, [1, 2, 4, 8], id="powers of two"),
        pytest.param("cuda:0", 6, [1, 2, 4, 6], id="and the largest"),
        pytest.param("tensorrt:0", 1, [1], id="single images"),
    ],
)
def test_gpus_are_warmed_up_for_batches(device: str, most: int, sizes: list[int]):
    assert _batch_sizes(device, most) == sizes


@pytest.mark.slow
def test_a_run_with_an_effect_sends_hidden_images_and_plain_messages():
    imagezmq = pytest.importorskip("imagezmq", reason="needs imagezmq, whose reader it is tested with")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    images = [f"publish.imagezmq=tcp://127.0.0.1:{port}", "publish.imagezmq_format=raw"]
    config = make_config("effect.kind=cutout", "effect.background='#0a141e'", *images, num_frames=None)
    sink, received = ListSink(), []
    with open_runtime(config, StreamsegMode(), [sink]) as run:
        hub = imagezmq.ImageHub(open_port=f"tcp://127.0.0.1:{port}", REQ_REP=False)

        def receive(_: object) -> None:
            received.append(hub.recv_image())
            run.runtime.stop()

        run.runtime.run(receive, interval_seconds=0.05)
        hub.close()
    name, image = received[0]
    assert name == "scene"
    # Nothing is prompted: everything is hidden.
    assert (image == (0x1E, 0x14, 0x0A)).all()
    assert all(result.frame.image.std() > 5 for result in sink.results)
