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
    honest,
    ignores_range,
    not_http,
    pauses,
    redirect,
    rejects_ranges,
    silent,
    status,
    without_length,
)

SIZE = len(CONTENTS)
OTHER = bytes(SIZE)


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def other_files(target: Path) -> list[str]:
    """Names of the other files in the folder of the target."""
    return sorted(path.name for path in target.parent.iterdir() if path != target)


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "file.pt"


def test_download_writes_only_the_target(server, target):
    server.responses["/file"] = honest()
    steps = []
    assert download([server.file("/file")], target, progress=lambda *step: steps.append(step)) == target
    assert target.read_bytes() == CONTENTS
    assert other_files(target) == []
    assert steps[0] == (0, SIZE)
    assert steps[-1] == (SIZE, SIZE)
    assert steps == sorted(steps)
    assert server.requests == [("/file", "")]


@pytest.mark.parametrize(
    ("response", "part", "ranges"),
    [
        pytest.param(honest(), CONTENTS[:HALF], [f"bytes={HALF}-"], id="resumed"),
        pytest.param(honest(), CONTENTS[:-1], [f"bytes={SIZE - 1}-"], id="one byte missing"),
        pytest.param(honest(), CONTENTS, [], id="part is already complete"),
        pytest.param(honest(), OTHER, [""], id="complete part with other contents"),
        pytest.param(honest(), OTHER[:HALF], [f"bytes={HALF}-", ""], id="part with other contents"),
        pytest.param(honest(), CONTENTS + b"more", [""], id="part is too long"),
        pytest.param(ignores_range, CONTENTS[:HALF], [f"bytes={HALF}-"], id="Range is ignored"),
        pytest.param(rejects_ranges, CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="ranges are rejected"),
        pytest.param(without_length(), None, [""], id="no Content-Length"),
        pytest.param(breaks_off(HALF, times=1), None, ["", f"bytes={HALF}-"], id="one broken connection"),
        pytest.param(
            breaks_off(SIZE // 4),
            None,
            [f"bytes={quarter * (SIZE // 4)}-" if quarter else "" for quarter in range(4)],
            id="a quarter per connection",
        ),
        pytest.param(
            claims_range(f"bytes {HALF}-{SIZE - 1}/*"), CONTENTS[:HALF], [f"bytes={HALF}-"], id="unknown length"
        ),
        pytest.param(
            claims_range(f"bytes 0-{SIZE - 1}/{SIZE}"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="another start"
        ),
        pytest.param(
            claims_range(f"bytes {HALF}-{SIZE}/{SIZE + 1}"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="another file"
        ),
        pytest.param(claims_range("lines 1-2"), CONTENTS[:HALF], [f"bytes={HALF}-", ""], id="not a byte range"),
    ],
)
def test_recoverable_problems(server, target, response, part, ranges):
    file = server.file("/file")
    server.responses["/file"] = response
    target.parent.mkdir()
    if part is not None:
        part_path(file, target).write_bytes(part)
    download([file], target)
    assert target.read_bytes() == CONTENTS
    assert other_files(target) == []
    assert [sent for _, sent in server.requests] == ranges


FAILURES = {
    "not found": (status(404), "404 Not Found"),
    "overloaded": (status(503), "503 Service Unavailable"),
    "no content": (status(204), "204 No Content"),
    "416 for the whole file": (status(416), "416 "),
    "range not requested": (status(206), "sent another range than requested"),
    "wrong contents": (honest(OTHER), f"wrong contents, sha256 {sha256(OTHER)} instead of {sha256(CONTENTS)}"),
    "shorter": (honest(CONTENTS[:HALF]), f"has a file of {HALF} bytes, not {SIZE}"),
    "longer": (honest(CONTENTS + b"more"), f"has a file of {SIZE + 4} bytes, not {SIZE}"),
    "longer, unknown length": (without_length(CONTENTS + b"more"), f"sends more than the {SIZE} bytes of the file"),
    "declared length too small": (claims_length(HALF), f"has a file of {HALF} bytes, not {SIZE}"),
    "declared length too large": (claims_length(SIZE + 10), f"has a file of {SIZE + 10} bytes, not {SIZE}"),
    "no bytes": (breaks_off(0), f"broke off at 0 of {SIZE} bytes"),
    "reset": (breaks_off(0, reset=True), "Connection reset by peer"),
    "silence": (silent, "no data for 0.2 s"),
    "not HTTP": (not_http, "220 mail.example ESMTP"),
    "redirect to a file": (redirect("file:///etc/passwd"), "'file:///etc/passwd' is not an http or https URL"),
    "redirect to ftp": (redirect("ftp://127.0.0.1/file"), "'ftp://127.0.0.1/file' is not an http or https URL"),
    "redirect loop": (redirect("/file"), "redirects more than 10 times"),
    "redirect without host": (redirect("https://"), "'https://' is not an http or https URL"),
    "redirect without location": (status(302), "302 Found"),
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_failure_is_reported_and_leaves_no_files(server, target, failure):
    response, reason = FAILURES[failure]
    server.responses["/file"] = response
    with pytest.raises(WeightsError) as caught:
        download([server.file("/file")], target, timeout_seconds=0.2 if response is silent else 10)
    message = str(caught.value)
    assert message.startswith("cannot download file.pt: 127.0.0.1:")
    assert reason in message
    assert f"or download {server.url()} yourself (sha256 {sha256(CONTENTS)}) and save it as {target}" in message
    assert "\n" not in message
    assert not target.exists()
    assert other_files(target) == []


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_next_url_is_tried(server, target, failure):
    server.responses |= {"/bad": FAILURES[failure][0], "/redirect": redirect("/good"), "/good": honest()}
    download([server.file("/bad", "/redirect")], target, timeout_seconds=0.2 if FAILURES[failure][0] is silent else 10)
    assert target.read_bytes() == CONTENTS
    assert other_files(target) == []


def test_next_url_resumes_the_download(server, target):
    server.responses |= {"/bad": breaks_off(HALF), "/good": honest()}
    server.responses["/bad"] = lambda handler: (breaks_off(HALF) if not handler.number else status(503))(handler)
    download([server.file("/bad", "/good")], target)
    assert server.requests == [("/bad", ""), ("/bad", f"bytes={HALF}-"), ("/good", f"bytes={HALF}-")]
    assert target.read_bytes() == CONTENTS


def test_later_call_resumes_the_download(server, target):
    file = server.file("/file")
    server.responses["/file"] = breaks_off(1000)
    with pytest.raises(
        WeightsError, match=r"broke off at 5000 of 700000 bytes.*Try again later to resume the download"
    ):
        download([file], target)
    assert other_files(target) == [part_path(file, target).name]
    server.requests.clear()
    server.responses["/file"] = honest()
    download([file], target)
    assert server.requests == [("/file", "bytes=5000-")]
    assert other_files(target) == []


def test_existing_file_is_kept_until_the_download_is_complete(server, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    server.responses["/file"] = honest(OTHER)
    with pytest.raises(WeightsError):
        download([server.file("/file")], target)
    assert target.read_bytes() == b"old"
    server.responses["/file"] = honest()
    download([server.file("/file")], target)
    assert target.read_bytes() == CONTENTS


def test_editions_do_not_mix(server, target):
    """The download of the first edition breaks off; that of the second starts anew and deletes the first part."""
    first, second = server.file("/first"), server.file("/second", contents=OTHER)
    server.responses |= {"/first": breaks_off(1000), "/second": honest(OTHER)}
    download([first, second], target)
    assert target.read_bytes() == OTHER
    assert server.requests[-1] == ("/second", "")
    assert other_files(target) == []


def test_url_with_the_second_edition(server, target):
    server.responses["/file"] = honest(CONTENTS[:HALF])
    editions = [server.file("/file"), server.file("/file", contents=CONTENTS[:HALF])]
    assert download(editions, target).read_bytes() == CONTENTS[:HALF]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param(f"http://127.0.0.1:{closed_port()}/f", "Connection refused", id="closed port"),
        pytest.param("ftp://127.0.0.1/f", "'ftp://127.0.0.1/f' is not an http or https URL", id="ftp"),
        pytest.param("file:///etc/passwd", "is not an http or https URL", id="file"),
        pytest.param("weights/file.pt", "is not an http or https URL", id="path"),
        pytest.param("http://127.0.0.1/a b", "can't contain control characters", id="space"),
        pytest.param("http://127.0.0.1:port/", "nonnumeric port", id="invalid port"),
        pytest.param("http://a..b/f", "label", id="invalid host"),
        pytest.param("http://[::1/f", "Invalid IPv6 URL", id="invalid IPv6 address"),
    ],
)
def test_invalid_urls(target, url, reason):
    with pytest.raises(WeightsError, match=r"cannot download file\.pt") as caught:
        download([RemoteFile("publisher", SIZE, sha256(CONTENTS), (url,))], target)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert other_files(target) == []


def test_password_in_a_url_is_not_shown(server, target):
    url = server.url().replace("127.0.0.1", "me:secret@127.0.0.1")
    good = server.file("/file")
    with pytest.raises(WeightsError, match=r"cannot download file\.pt: 127\.0\.0\.1:") as caught:
        download([good, RemoteFile("publisher", SIZE, good.sha256, (url,))], target)
    assert "secret" not in str(caught.value)


def test_proxies_are_taken_from_the_environment(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    server.responses["http://weights.invalid/file"] = honest()
    file = RemoteFile("publisher", SIZE, sha256(CONTENTS), ("http://weights.invalid/file",))
    assert download([file], target).read_bytes() == CONTENTS


# ---- disk


def test_download_larger_than_the_free_space_is_not_started(server, target):
    server.responses["/file"] = without_length()
    file = RemoteFile("publisher", 10**18, sha256(CONTENTS), (server.url(),))
    with pytest.raises(WeightsError, match=r"MB free, but the download needs 1000000000000 MB; free some space"):
        download([file], target)
    assert other_files(target) == []


@pytest.fixture
def small_files():
    """Limit the file size to half of the contents, to simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_full_disk_aborts_the_download(server, target):
    server.responses |= {"/file": honest(), "/other": honest()}
    with pytest.raises(WeightsError, match=r"cannot write .*\.part: File too large"):
        download([server.file("/file", "/other")], target)
    assert not target.exists()
    assert len(server.requests) == 1  # another URL would not help


def test_folder_cannot_be_created(server, tmp_path):
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(WeightsError, match=r"cannot write .*/deep/file\.pt: .*/deep is a file, not a folder"):
        download([server.file("/file")], tmp_path / "deep" / "file.pt")
    assert server.requests == []


def test_target_is_a_folder(server, target):
    target.mkdir(parents=True)
    server.responses["/file"] = honest()
    with pytest.raises(WeightsError, match=r"cannot write .*: Is a directory"):
        download([server.file("/file")], target)


# ---- concurrent downloads


class Listener(logging.Handler):
    """Sets an event when a message is logged."""

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start = start
        self.notified = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self.start):
            self.notified.set()


@pytest.fixture
def listener():
    """Signal when a download waits for another one."""
    listener = Listener("waiting for another process")
    logger = logging.getLogger("streamseg.weights.download")
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield listener
    logger.removeHandler(listener)
    logger.setLevel(logging.NOTSET)


def test_one_of_two_concurrent_calls_downloads(server, target, listener):
    server.responses["/file"] = pauses(listener.notified)  # sends the second half once the second call waits
    file = server.file("/file")
    both = [threading.Thread(target=download, args=([file], target)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert target.read_bytes() == CONTENTS
    assert len(server.requests) == 1
    assert other_files(target) == []


HOLD = """
import fcntl, sys
with open(sys.argv[1], "wb") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_download_waits_for_another_process(server, target, listener):
    server.responses["/file"] = honest()
    target.parent.mkdir()
    lock = target.parent / ".file.pt.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        waiting = threading.Thread(target=download, args=([server.file("/file")], target))
        waiting.start()
        assert listener.notified.wait(60)
        assert server.requests == []
        other.kill()
        waiting.join(60)
    assert target.read_bytes() == CONTENTS
    assert other_files(target) == []


def test_lock_file_of_a_killed_process_is_ignored(server, target):
    target.parent.mkdir()
    (target.parent / ".file.pt.lock").touch()
    server.responses["/file"] = honest()
    download([server.file("/file")], target)
    assert other_files(target) == []
