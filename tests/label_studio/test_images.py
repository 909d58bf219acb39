"""Which images a backend reads: below its folder, or at one Label Studio."""

import pytest

from streamseg.errors import ConfigError, DataError
from streamseg.label_studio.images import ImageAddress, ImagePlaces, check_origin

ORIGIN = "http://studio.local:8080"


@pytest.fixture
def root(tmp_path):
    for name in ("inside/a.jpg", "inside/upload/1/b c.png", "secret.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inside" / "link.jpg").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "inside"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("/data/local-files/?d=a.jpg", "a.jpg"),
        ("/data/local-files/?d=upload/1/b%20c.png", "upload/1/b c.png"),
        ("/data/upload/1/b%20c.png", "upload/1/b c.png"),
        ("a.jpg", "a.jpg"),
        ("/a.jpg", "a.jpg"),
        ("upload/../a.jpg", "a.jpg"),
    ],
)
def test_files_below_the_folder(root, reference, found):
    assert ImagePlaces(root, None).find(reference) == root / found


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        pytest.param("../secret.txt", "is not below the folder", id="parent"),
        pytest.param("/data/local-files/?d=../secret.txt", "is not below the folder", id="parent in a query"),
        pytest.param("/data/%2e%2e/secret.txt", "is not below the folder", id="encoded parent"),
        pytest.param("link.jpg", "is not below the folder", id="symbolic link"),
        pytest.param("/etc/passwd", "there is no image", id="absolute"),
        pytest.param("missing.jpg", "there is no image", id="missing"),
        pytest.param("upload", "there is no image", id="a folder"),
        pytest.param("/data/local-files/", "names no file", id="no file"),
        pytest.param("http://studio.local:8080/data/a.jpg", "start the backend with --from", id="an address"),
        pytest.param("file:///etc/passwd", "are not downloaded", id="file address"),
        pytest.param("//evil/a.jpg", "are not downloaded", id="address without a scheme"),
        pytest.param("", "must be a path", id="empty"),
        pytest.param(None, "must be a path", id="none"),
        pytest.param("a\0.jpg", "must be a path", id="null byte"),
        pytest.param("a" * 5000, "must be a path", id="long"),
    ],
)
def test_everything_else_is_refused(root, reference, message):
    with pytest.raises(DataError, match=message):
        ImagePlaces(root, None).find(reference)


@pytest.mark.parametrize("reference", ["/data/upload/1/a.jpg", "http://STUDIO.local:8080/data/upload/1/a.jpg"])
def test_images_of_one_label_studio_are_downloaded(reference):
    found = ImagePlaces(None, ORIGIN).find(reference)
    assert isinstance(found, ImageAddress)
    assert found.lower() == f"{ORIGIN}/data/upload/1/a.jpg"


@pytest.mark.parametrize(
    "reference",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://studio.local/data/a.jpg",
        "https://studio.local:8080/data/a.jpg",
        "http://studio.local:8080@evil.example/data/a.jpg",
        "http://user@studio.local:8080/data/a.jpg",
        "ftp://studio.local:8080/a.jpg",
        "http://studio.local:8080\\@evil.example/",
        "/etc/passwd",
        "a.jpg",
    ],
)
def test_other_addresses_are_not_downloaded(reference):
    with pytest.raises(DataError, match=r"are not downloaded|has no --root"):
        ImagePlaces(None, ORIGIN).find(reference)


@pytest.mark.parametrize(
    "url", ["studio:8080", "http://", "http://a:99999", "http://a/b", "http://a?b", "http://u:p@a", "file:///a"]
)
def test_what_is_no_address_of_a_label_studio(url):
    with pytest.raises(ConfigError):
        check_origin(url)


def test_somewhere_images_must_be(tmp_path):
    with pytest.raises(ConfigError, match="give --root FOLDER"):
        ImagePlaces(None, None)
    with pytest.raises(ConfigError, match="is not a folder"):
        ImagePlaces(tmp_path / "missing", None)
    assert check_origin("http://Studio.local:8080/") == ORIGIN
