import re

import pytest

from streamseg.weights.catalogue import (
    CATALOGUE,
    LicenceStatement,
    OfficialWeights,
    RemoteFile,
    edition_at,
    find_by_sha256,
    find_official,
    suggest_names,
)

FILES = [file for entry in CATALOGUE for file in entry.files]


def test_files_have_unique_hashes_and_https_urls():
    assert [entry.name for entry in CATALOGUE] == ["FastSAM-s", "FastSAM-x"]
    for file in FILES:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
    assert len({file.sha256 for file in FILES}) == len(FILES)
    urls = [url for file in FILES for url in file.urls]
    assert len(set(urls)) == len(urls)


@pytest.mark.parametrize(("name", "num_parameters"), [("FastSAM-s", 11_790_483), ("FastSAM-x", 72_234_149)])
def test_file_sizes_match_half_precision_parameters(name, num_parameters):
    for file in find_official(name).files:
        assert 2 * num_parameters < file.num_bytes < 2 * num_parameters + 600_000


def test_both_licences_are_listed():
    for entry in CATALOGUE:
        assert {statement.licence for statement in entry.licences} == {"Apache-2.0", "AGPL-3.0"}
        text = entry.licence_text()
        assert text.startswith("contested: Apache-2.0 (")
        assert "AGPL-3.0 (" in text
        assert "\n" not in text


def test_single_licence_is_not_contested():
    entry = OfficialWeights("a", "a.pt", (), (), (LicenceStatement("MIT", "its LICENSE file"),))
    assert entry.licence_text() == "MIT (its LICENSE file)"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("FastSAM-s", "FastSAM-s"),
        ("FastSAM-s.pt", "FastSAM-s"),
        ("FastSAM-x", "FastSAM-x"),
        ("FastSAM-x.pt", "FastSAM-x"),
        ("FastSAM", "FastSAM-x"),
        ("FastSAM.pt", "FastSAM-x"),
        ("fastsam-S", "FastSAM-s"),
        ("FASTSAM.PT", "FastSAM-x"),
    ],
)
def test_names(written, name):
    assert find_official(written).name == name


@pytest.mark.parametrize(
    "written", ["", "default", "FastSAM-m", "weights/FastSAM.pt", "FastSAM-s.onnx", "yolov8s-seg.pt"]
)
def test_unknown_names(written):
    assert find_official(written) is None


@pytest.mark.parametrize(
    ("written", "suggested"),
    [
        ("FastSAM-z", ["FastSAM-x", "FastSAM-s"]),
        ("fastsam_s", ["FastSAM-s", "FastSAM-x"]),
        ("FastSAMs", ["FastSAM-s", "FastSAM-x"]),
        ("defualt", ["default"]),
        ("yolo11n-seg.pt", []),
        ("", []),
    ],
)
def test_suggested_names(written, suggested):
    assert suggest_names(written) == suggested


def test_files_are_found_by_hash():
    for entry in CATALOGUE:
        for file in entry.files:
            assert find_by_sha256(file.sha256) == (entry, file)
    assert find_by_sha256("0" * 64) is None


@pytest.mark.parametrize(
    ("contents", "known"),
    [(b"abc", True), (b"abd", False), (b"ab", False), (None, False)],
    ids=["equal", "other contents", "shorter", "missing"],
)
def test_edition_at_a_path(tmp_path, contents, known):
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # hash of "abc": FIPS 180-2, B.1
    file = RemoteFile("publisher", 3, sha256, ())
    path = tmp_path / "file"
    if contents is not None:
        path.write_bytes(contents)
    assert edition_at(path, [RemoteFile("publisher", 4, "0" * 64, ()), file]) == (file if known else None)
    assert edition_at(tmp_path, [file]) is None
