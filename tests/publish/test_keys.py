"""Key files: created once, private, and rejected in one line if damaged."""

import re
import stat
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamseg.errors import PublishError
from streamseg.publish.keys import NAME_PATTERN, ClientKeys, ServerKeys, create_key_files, load_public_key


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return create_key_files(tmp_path / "keys", "server")


def test_new_pair_is_a_curve_pair(pair: tuple[Path, Path]):
    public_path, secret_path = pair
    keys = ClientKeys.load(secret_path, public_path)
    assert zmq.curve_public(keys.secret) == keys.public == keys.server == load_public_key(public_path)
    assert keys.secret.decode() not in public_path.read_text()


def test_only_the_owner_can_read_a_secret(pair: tuple[Path, Path]):
    assert stat.S_IMODE(pair[1].stat().st_mode) == 0o600
    assert stat.S_IMODE(pair[1].parent.stat().st_mode) == 0o700


def test_readable_secret_is_a_warning(pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture):
    pair[1].chmod(0o644)
    ClientKeys.load(pair[1], pair[0])
    assert re.search(r"can be read by other users of this machine; run: chmod 600", caplog.text)


def test_secrets_are_not_in_representations(pair: tuple[Path, Path]):
    client, server = ClientKeys.load(pair[1], pair[0]), ServerKeys.load(pair[1], read=[str(pair[0])])
    for keys in (client, server):
        assert keys.secret.decode() not in repr(keys)


def test_existing_files_are_kept(pair: tuple[Path, Path]):
    before = [path.read_bytes() for path in pair]
    with pytest.raises(PublishError, match="exists; choose another name"):
        create_key_files(pair[0].parent, "server")
    pair[1].unlink()
    with pytest.raises(PublishError, match=r"server\.key exists"):
        create_key_files(pair[0].parent, "server")
    assert pair[0].read_bytes() == before[0]
    assert not pair[1].exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.text(max_size=80))
def test_names_cannot_leave_the_folder(name: str, tmp_path: Path):
    folder = tmp_path / "keys"
    if re.fullmatch(NAME_PATTERN, name):
        for path in create_key_files(folder, name):
            assert path.parent == folder
            path.unlink()
    else:
        with pytest.raises(PublishError, match=r"\Ainvalid name [^\n]*\Z"):
            create_key_files(folder, name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


KEY = "".join(["k"] * 40)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "cannot read the key .*: it does not exist", id="missing"),
        pytest.param("", "holds no CURVE key", id="empty"),
        pytest.param("\0\xff" * 50, "holds no CURVE key", id="binary"),
        pytest.param('public-key = "short"\n', "damaged: a key has 40 characters", id="short"),
        pytest.param(f'public-key = "{KEY}"\n', "holds no secret key; name the file that ends in", id="public"),
        pytest.param(f'public-key = "{KEY}"\nsecret-key = "x"\n', "damaged: a key has 40", id="short secret"),
        pytest.param(f'public-key = "{KEY}"\nsecret-key = "{KEY}"\n', "its keys are no pair", id="no pair"),
    ],
)  # fmt: skip
def test_damaged_secret_files_are_one_line(tmp_path: Path, text: str | None, message: str):
    path = tmp_path / "a.key_secret"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(PublishError, match=message) as caught:
        ServerKeys.load(path, read=[KEY])
    assert "\n" not in str(caught.value)


def test_unreadable_key_is_one_line(tmp_path: Path):
    with pytest.raises(PublishError, match="cannot read the key"):
        load_public_key(tmp_path)


def test_control_includes_read(pair: tuple[Path, Path]):
    reader, controller = "r" * 40, "c" * 40
    keys = ServerKeys.load(pair[1], read=[reader], control=[controller])
    assert keys.allowed("read") == {reader.encode(), controller.encode()}
    assert keys.allowed("control") == {controller.encode()}


@pytest.mark.parametrize(
    ("read", "message"),
    [
        pytest.param([], "no client may connect", id="none"),
        pytest.param(["k" * 40] * 1001, "1001 keys under read; at most 1000", id="too many"),
        pytest.param(["nobody.key"], "cannot read the key nobody.key", id="missing file"),
    ],
)
def test_unusable_lists_of_clients(pair: tuple[Path, Path], read: list[str], message: str):
    with pytest.raises(PublishError, match=message):
        ServerKeys.load(pair[1], read=read)
