from http.client import HTTPMessage
from io import BytesIO
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from http_server import CONTENTS, HALF, FileServer, honest, status

from streamseg.segmentation.weights.transfer import Fault, Redirects, transfer


@pytest.mark.parametrize(
    ("start", "to", "followed"),
    [
        pytest.param("https://a.example/f", "https://b.example/g", True, id="encrypted"),
        pytest.param("http://a.example/f", "http://b.example/g", True, id="plain"),
        pytest.param("http://a.example/f", "https://b.example/g", True, id="plain to encrypted"),
        pytest.param("https://a.example/f", "http://b.example/g", False, id="encrypted to plain"),
        pytest.param("https://a.example/f", "ftp://b.example/g", False, id="encrypted to another kind"),
    ],
)
def test_an_encrypted_address_leads_to_encrypted_ones_only(start, to, followed):
    request = Request(start, headers={"Range": "bytes=5-"})
    arguments = (request, BytesIO(), 302, "Found", HTTPMessage(), to)
    if followed:
        redirected = Redirects().redirect_request(*arguments)
        assert redirected.full_url == to
        assert redirected.get_header("Range") == "bytes=5-"
    else:
        with pytest.raises(HTTPError, match=f"redirects to {to}, which is not https"):
            Redirects().redirect_request(*arguments)


def test_the_part_becomes_the_file(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(CONTENTS[:HALF])
    with FileServer({"/file": honest()}) as server:
        transfer(server.url(), server.file("/file"), part)
    assert part.read_bytes() == CONTENTS


def test_a_refusal_keeps_the_part(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(CONTENTS[:HALF])
    with FileServer({"/file": status(503)}) as server, pytest.raises(Fault, match="503 Service Unavailable"):
        transfer(server.url(), server.file("/file"), part)
    assert part.read_bytes() == CONTENTS[:HALF]


def test_the_program_says_who_it_is_and_wants_the_bytes_as_they_are(tmp_path):
    heard = []
    with FileServer() as server:
        server.answers["/file"] = lambda handler: (heard.append(dict(handler.headers)), honest()(handler))[1]
        transfer(server.url(), server.file("/file"), tmp_path / "part")
    (headers,) = heard
    assert headers["User-Agent"].startswith("streamseg/")
    assert headers["Accept-Encoding"] == "identity"
