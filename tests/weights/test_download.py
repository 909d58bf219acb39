import hashlib
import logging
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamseg.errors import WeightsError
from streamseg.weights.catalogue import RemoteFile
from streamseg.weights.download import download, part_path
from tests.support.http_server import (
    CONTENTS,
    HALF,
    FileServer,
    breaks_off,
    claims_length,
    claims_range,
    closed_port,
    halts,
    honest,
    ignores_range,
    no_http,
    redirect,
    refuses_parts,
    silent,
    status,
    without_length,
)

SIZE = len(CONTENTS)
OTHER = bytes(SIZE)


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def beside(target: Path) -> list[str]:
    """Names of what lies around the target, itself excluded."""
    return sorted(path.name for path in target.parent.iterdir() if path != target)


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "file.pt"


def test_a_file_arrives_whole_and_alone(server, target):
    server.answers["/file"] = honest()
    seen = []
    assert download([server.file("/file")], target, progress=lambda *step: seen.append(step)) == target
    assert target.read_bytes() == CONTENTS
    assert beside(target) == []
    assert seen[0] == (0, SIZE)
    assert seen[-1] == (SIZE, SIZE)
    assert seen == sorted(seen)
    assert server.requests == [("/file", "")]


@pytest.mark.parametrize(
    ("answer", "part", "ranges"),
    [
        pytest.param(honest(), CONTENTS[:HALF], [f"bytes={HALF}-"], id="resumed"),
        pytest.param(honest(), CONTENTS[:-1], [f"bytes={SIZE - 1}-"], id="one byte is missing"),
        pytest.param(honest(), CONTENTS, [], id="only the name was missing"),
        pytest.param(honest(), OTHER, [""], id="a part of the right length with other contents"),
        pytest.param(honest(), OTHER[:HALF], [f"bytes={HALF}-", ""], id="a part with other contents"),
        pytest.param(honest(), CONTENTS + b"more", [""], id="a part that is too long"),
        pytest.param(ignores_range, CONTENTS[:HALF], [f"bytes={HALF}-"], id="Range is ignored"),
        pytest.param(refuses_parts, CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="parts are refused"),
        pytest.param(without_length(), None, [""], id="no Content-Length"),
        pytest.param(breaks_off(HALF, times=1), None, ["", f"bytes={HALF}-"], id="broke off once"),
        pytest.param(
            breaks_off(SIZE // 4),
            None,
            [f"bytes={quarter * (SIZE // 4)}-" if quarter else "" for quarter in range(4)],
            id="a quarter per connection",
        ),
        pytest.param(
            claims_range(f"bytes {HALF}-{SIZE - 1}/*"), CONTENTS[:HALF], [f"bytes={HALF}-"], id="length unsaid"
        ),
        pytest.param(
            claims_range(f"bytes 0-{SIZE - 1}/{SIZE}"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="another start"
        ),
        pytest.param(
            claims_range(f"bytes {HALF}-{SIZE}/{SIZE + 1}"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="another file"
        ),
        pytest.param(claims_range("lines 1-2"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="no byte range"),
    ],
)
def test_what_hinders_but_does_not_prevent(server, target, answer, part, ranges):
    file = server.file("/file")
    server.answers["/file"] = answer
    target.parent.mkdir()
    if part is not None:
        part_path(file, target).write_bytes(part)
    download([file], target)
    assert target.read_bytes() == CONTENTS
    assert beside(target) == []
    assert [sent for _, sent in server.requests] == ranges


FAULTS = {
    "not found": (status(404), "404 Not Found"),
    "overloaded": (status(503), "503 Service Unavailable"),
    "nothing": (status(204), "204 No Content"),
    "416 all the same": (status(416), "416 "),
    "a part unasked": (status(206), "sent another part than was asked for"),
    "wrong contents": (honest(OTHER), f"wrong contents, sha256 {sha256(OTHER)} and not {sha256(CONTENTS)}"),
    "shorter": (honest(CONTENTS[:HALF]), f"has a file of {HALF} bytes, not {SIZE}"),
    "longer": (honest(CONTENTS + b"more"), f"has a file of {SIZE + 4} bytes, not {SIZE}"),
    "longer, length unsaid": (without_length(CONTENTS + b"more"), f"sends more than the {SIZE} bytes of the file"),
    "a length too small": (claims_length(HALF), f"has a file of {HALF} bytes, not {SIZE}"),
    "a length too large": (claims_length(SIZE + 10), f"has a file of {SIZE + 10} bytes, not {SIZE}"),
    "no bytes": (breaks_off(0), f"broke off at 0 of {SIZE} bytes"),
    "reset": (breaks_off(0, reset=True), "Connection reset by peer"),
    "silence": (silent, "silent for 0.2 s"),
    "no HTTP": (no_http, "220 mail.example ESMTP"),
    "redirected to a file": (redirect("file:///etc/passwd"), "'file:///etc/passwd' is no http or https address"),
    "redirected to ftp": (redirect("ftp://127.0.0.1/file"), "'ftp://127.0.0.1/file' is no http or https address"),
    "redirected for ever": (redirect("/file"), "redirects more than 10 times"),
    "redirected to nowhere": (redirect("https://"), "'https://' is no http or https address"),
    "redirected nowhere": (status(302), "302 Found"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_prevents_is_named_and_leaves_nothing(server, target, fault):
    answer, reason = FAULTS[fault]
    server.answers["/file"] = answer
    with pytest.raises(WeightsError) as caught:
        download([server.file("/file")], target, timeout_seconds=0.2 if answer is silent else 10)
    message = str(caught.value)
    assert message.startswith("cannot download file.pt: 127.0.0.1:")
    assert reason in message
    assert f"or fetch {server.url()} by hand (sha256 {sha256(CONTENTS)}) and put it at {target}" in message
    assert "\n" not in message
    assert not target.exists()
    assert beside(target) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_another_address_takes_over(server, target, fault):
    server.answers |= {"/bad": FAULTS[fault][0], "/redirect": redirect("/good"), "/good": honest()}
    download([server.file("/bad", "/redirect")], target, timeout_seconds=0.2 if FAULTS[fault][0] is silent else 10)
    assert target.read_bytes() == CONTENTS
    assert beside(target) == []


def test_what_one_address_began_another_one_ends(server, target):
    server.answers |= {"/bad": breaks_off(HALF), "/good": honest()}
    server.answers["/bad"] = lambda handler: (breaks_off(HALF) if not handler.number else status(503))(handler)
    download([server.file("/bad", "/good")], target)
    assert server.requests == [("/bad", ""), ("/bad", f"bytes={HALF}-"), ("/good", f"bytes={HALF}-")]
    assert target.read_bytes() == CONTENTS


def test_a_later_call_goes_on_where_one_broke_off(server, target):
    file = server.file("/file")
    server.answers["/file"] = breaks_off(1000)
    with pytest.raises(WeightsError, match=r"broke off at 5000 of 700000 bytes.*it goes on where it stopped"):
        download([file], target)
    assert beside(target) == [part_path(file, target).name]
    server.requests.clear()
    server.answers["/file"] = honest()
    download([file], target)
    assert server.requests == [("/file", "bytes=5000-")]
    assert beside(target) == []


def test_an_older_file_stays_until_the_new_one_is_whole(server, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    server.answers["/file"] = honest(OTHER)
    with pytest.raises(WeightsError):
        download([server.file("/file")], target)
    assert target.read_bytes() == b"old"
    server.answers["/file"] = honest()
    download([server.file("/file")], target)
    assert target.read_bytes() == CONTENTS


def test_editions_do_not_mix(server, target):
    """The first edition breaks off; the second starts from nothing, and what was kept of the first goes."""
    first, second = server.file("/first"), server.file("/second", contents=OTHER)
    server.answers |= {"/first": breaks_off(1000), "/second": honest(OTHER)}
    download([first, second], target)
    assert target.read_bytes() == OTHER
    assert server.requests[-1] == ("/second", "")
    assert beside(target) == []


def test_an_address_that_has_the_second_edition(server, target):
    server.answers["/file"] = honest(CONTENTS[:HALF])
    editions = [server.file("/file"), server.file("/file", contents=CONTENTS[:HALF])]
    assert download(editions, target).read_bytes() == CONTENTS[:HALF]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param(f"http://127.0.0.1:{closed_port()}/f", "Connection refused", id="nobody listens"),
        pytest.param("ftp://127.0.0.1/f", "'ftp://127.0.0.1/f' is no http or https address", id="ftp"),
        pytest.param("file:///etc/passwd", "is no http or https address", id="file"),
        pytest.param("weights/file.pt", "is no http or https address", id="a path"),
        pytest.param("http://127.0.0.1/a b", "can't contain control characters", id="a blank"),
        pytest.param("http://127.0.0.1:port/", "nonnumeric port", id="no port"),
        pytest.param("http://a..b/f", "label", id="no host"),
        pytest.param("http://[::1/f", "Invalid IPv6 URL", id="no address"),
    ],
)
def test_addresses_that_lead_nowhere(target, url, reason):
    with pytest.raises(WeightsError, match=r"cannot download file\.pt") as caught:
        download([RemoteFile("nobody", SIZE, sha256(CONTENTS), (url,))], target)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert beside(target) == []


def test_a_password_in_an_address_is_not_shown(server, target):
    url = server.url().replace("127.0.0.1", "me:secret@127.0.0.1")
    good = server.file("/file")
    with pytest.raises(WeightsError, match=r"cannot download file\.pt: 127\.0\.0\.1:") as caught:
        download([good, RemoteFile("nobody", SIZE, good.sha256, (url,))], target)
    assert "secret" not in str(caught.value)


def test_proxies_are_taken_from_the_environment(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    server.answers["http://weights.invalid/file"] = honest()
    file = RemoteFile("nobody", SIZE, sha256(CONTENTS), ("http://weights.invalid/file",))
    assert download([file], target).read_bytes() == CONTENTS


# ---- the disk


def test_a_file_that_does_not_fit_is_not_begun(server, target):
    server.answers["/file"] = without_length()
    file = RemoteFile("nobody", 10**18, sha256(CONTENTS), (server.url(),))
    with pytest.raises(WeightsError, match=r"MB free, and 1000000000000 MB are to be downloaded; make room"):
        download([file], target)
    assert beside(target) == []


@pytest.fixture
def small_files():
    """The system refuses to make a file longer than half of the contents, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_fills_up_ends_it(server, target):
    server.answers |= {"/file": honest(), "/other": honest()}
    with pytest.raises(WeightsError, match=r"cannot write .*\.part: File too large"):
        download([server.file("/file", "/other")], target)
    assert not target.exists()
    assert len(server.requests) == 1  # another address would change nothing


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(WeightsError, match=r"cannot write .*/deep/file\.pt: File exists"):
        download([server.file("/file")], tmp_path / "deep" / "file.pt")
    assert server.requests == []


def test_a_target_that_is_a_folder(server, target):
    target.mkdir(parents=True)
    server.answers["/file"] = honest()
    with pytest.raises(WeightsError, match=r"cannot write .*: Is a directory"):
        download([server.file("/file")], target)


# ---- two at once


class Listener(logging.Handler):
    """Sets an event when a message is logged."""

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start = start
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self.start):
            self.heard.set()


@pytest.fixture
def listener():
    """Hears when a download has to wait for another one."""
    listener = Listener("waiting for another process")
    logger = logging.getLogger("streamseg.weights.download")
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield listener
    logger.removeHandler(listener)
    logger.setLevel(logging.NOTSET)


def test_of_two_at_once_one_downloads(server, target, listener):
    server.answers["/file"] = halts(listener.heard)  # the first gets its second half when the second one waits
    file = server.file("/file")
    both = [threading.Thread(target=download, args=([file], target)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert target.read_bytes() == CONTENTS
    assert len(server.requests) == 1
    assert beside(target) == []


HOLD = """
import fcntl, sys
with open(sys.argv[1], "wb") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_waited_for_until_it_dies(server, target, listener):
    server.answers["/file"] = honest()
    target.parent.mkdir()
    lock = target.parent / ".file.pt.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        waiting = threading.Thread(target=download, args=([server.file("/file")], target))
        waiting.start()
        assert listener.heard.wait(60)
        assert server.requests == []
        other.kill()
        waiting.join(60)
    assert target.read_bytes() == CONTENTS
    assert beside(target) == []


def test_what_a_killed_process_left_is_no_obstacle(server, target):
    target.parent.mkdir()
    (target.parent / ".file.pt.lock").touch()
    server.answers["/file"] = honest()
    download([server.file("/file")], target)
    assert beside(target) == []
