"""Authorization headers, against the examples of the standards."""

import pytest

from streamseg.capture.rtsp.authentication import Authenticator, Credentials

MUFASA = Credentials("Mufasa", "Circle of Life")
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
SHORT = 'Digest realm="camera", nonce="1"'


def authenticator(credentials=MUFASA, *headers, nonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"):
    one = Authenticator(credentials, new_nonce=lambda: nonce)
    assert one.challenge(headers)
    return one


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        pytest.param("MD5", "8ca523f5e9506fed4657c9700eebdbec", id="md5"),
        pytest.param("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", id="sha-256"),
    ],
)
def test_example_of_rfc_7616(algorithm, response):
    header = authenticator(MUFASA, RFC_7616.format(algorithm)).header("GET", "/dir/index.html")
    assert f'response="{response}"' in header
    assert header.startswith('Digest username="Mufasa", realm="http-auth@example.org", ')
    assert f"qop=auth, nc=00000001, algorithm={algorithm}" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_digest_without_qop():
    """RFC 2069, with the corrected response of its errata."""
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"'
    header = authenticator(Credentials("Mufasa", "CircleOfLife"), challenge).header("GET", "/dir/index.html")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in header
    assert "nc=" not in header


def test_basic():
    """RFC 7617, section 2."""
    header = authenticator(Credentials("Aladdin", "open sesame"), 'Basic realm="x"').header("DESCRIBE", "rtsp://a/b")
    assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        pytest.param(['Basic realm="x"', SHORT], "Digest", id="digest before basic"),
        pytest.param([SHORT, RFC_7616.format("SHA-256")], "SHA-256", id="sha before md5"),
        pytest.param(['digest realm=camera, nonce="1"'], "Digest", id="case and unquoted"),
        pytest.param([SHORT + ', algorithm="MD5"'], "algorithm=MD5", id="quoted algorithm"),
        pytest.param(['Bearer realm="x"', 'Basic realm="x"'], "Basic", id="unknown scheme"),
    ],
)
def test_strongest_scheme_wins(headers, scheme):
    assert scheme in authenticator(MUFASA, *headers).header("DESCRIBE", "rtsp://a/b")


@pytest.mark.parametrize(
    ("credentials", "headers"),
    [
        pytest.param(None, [SHORT], id="no credentials"),
        pytest.param(MUFASA, [], id="no challenge"),
        pytest.param(MUFASA, ["Bearer x"], id="unknown scheme"),
        pytest.param(MUFASA, ['Digest realm="x"'], id="no nonce"),
        pytest.param(MUFASA, [SHORT + ", algorithm=SHA-512"], id="unknown algorithm"),
    ],
)
def test_hopeless(credentials, headers):
    one = Authenticator(credentials)
    assert not one.challenge(headers)
    assert one.header("DESCRIBE", "rtsp://a/b") is None


def test_rejected_credentials_are_not_sent_again():
    one = authenticator(MUFASA, SHORT)
    assert not one.challenge([SHORT.replace('"1"', '"2"')])


def test_expired_nonce_is_replaced():
    one = authenticator(MUFASA, SHORT)
    assert one.challenge([SHORT.replace('"1"', '"2"') + ", stale=TRUE"])
    assert 'nonce="2"' in one.header("DESCRIBE", "rtsp://a/b")


def test_server_that_calls_every_nonce_expired():
    one = authenticator(MUFASA, SHORT)
    assert [one.challenge([SHORT + ", stale=true"]) for _ in range(4)] == [True, True, False, False]


def test_new_challenge_after_success():
    one = authenticator(MUFASA, SHORT)
    one.accepted()
    assert one.challenge([SHORT.replace('"1"', '"2"')])


def test_requests_with_one_nonce_are_counted():
    one = authenticator(MUFASA, RFC_7616.format("MD5"))
    assert ["nc=00000001" in one.header("A", "b"), "nc=00000002" in one.header("A", "b")] == [True, True]


def test_quotes_are_escaped():
    assert r'username="a\"b\\c"' in authenticator(Credentials('a"b\\c', "x"), SHORT).header("A", "b")


def test_password_is_not_shown():
    assert "Life" not in repr(MUFASA)
