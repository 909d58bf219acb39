"""`streamseg keys new`, and keys on the command line of `subscribe`."""

from pathlib import Path

import pytest

from streamseg.cli.main import main
from streamseg.publish import Publisher, ServerKeys
from tests.support.messages import make_message


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_pair_is_created_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("keys", "new", "robot", "--folder", tmp_path) == 0
    printed = capsys.readouterr().out
    secret = (tmp_path / "robot.key_secret").read_text().rsplit('"', 2)[1]
    assert str(tmp_path / "robot.key") in printed
    assert secret not in printed


@pytest.mark.parametrize("name", ["../robot", " x", "a/b", ".hidden"])
def test_invalid_name_is_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]):
    assert run("keys", "new", name, "--folder", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [["--key", "a"], ["--server-key", "a"]])
def test_half_of_the_keys_is_an_error(given: list[str], capsys: pytest.CaptureFixture[str]):
    assert run("subscribe", *given) == 2
    assert "--key and --server-key belong together" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("client", "code"), [("robot", 0), ("stranger", 1)])
def test_subscribe_with_keys(tmp_path: Path, client: str, code: int, capsys: pytest.CaptureFixture[str]):
    for name in ("server", "robot", "stranger"):
        run("keys", "new", name, "--folder", tmp_path)
    keys = ServerKeys.load(tmp_path / "server.key_secret", read=[str(tmp_path / "robot.key")])
    with Publisher("tcp://127.0.0.1:0", keys=keys) as publisher:
        publisher.publish(make_message())
        words = ["--key", tmp_path / f"{client}.key_secret", "--server-key", tmp_path / "server.key", "--timeout", 1]
        assert run("subscribe", publisher.endpoint, *words) == 1  # nothing is published any longer
    message = "the publisher has cam0" if code == 0 else "refused the connection: it does not admit this key"
    assert message in capsys.readouterr().err
