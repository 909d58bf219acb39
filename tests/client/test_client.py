"""`streamseg-client`: complete, small, and alone in an environment with pyzmq and NumPy."""

from __future__ import annotations

import json
import runpy
import subprocess
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamseg import __version__
from streamseg.publish import Publisher
from tests.support.environments import build, install, make_environment
from tests.support.messages import disc, make_message, make_object
from tests.support.paths import PACKAGE, REPOSITORY

CLIENT = REPOSITORY / "client"
PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))
ROOTS = PROJECT["tool"]["hatch"]["build"]["hooks"]["custom"]["roots"]
MESSAGE = make_message(make_object(disc(9), 3, 2, label="cup"), make_object(disc(20), 30, 20))
DEADLINE_SECONDS = 60.0


HOOK = runpy.run_path(str(CLIENT / "hatch_build.py"))


def needed(home: Path, *roots: str) -> list[str]:
    """The needed files, relative to `home`."""
    return [path.relative_to(home).as_posix() for path in HOOK["needed_files"](home, roots)]


@pytest.fixture
def small_package(tmp_path: Path) -> Path:
    """A package with imports of all kinds."""
    modules = {
        "p/__init__.py": "",
        "p/a.py": "from p.b import x\nfrom p.inner import c\nimport numpy, p.d",
        "p/b.py": "if TYPE_CHECKING:\n    from p.typed import T\n",
        "p/d.py": "def f():\n    from p.late import y",
        "p/late.py": "import p.a",
        "p/typed.py": "",
        "p/other.py": "",
        "p/inner/__init__.py": "from p.more import z",
        "p/inner/c.py": "",
        "p/inner/e.py": "",
        "p/more.py": "",
    }
    for name, text in modules.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        pytest.param(["p.b"], "__init__ b", id="not for type checkers"),
        pytest.param(["p.d"], "__init__ a b d inner/__init__ inner/c late more", id="through others, in functions"),
        pytest.param(["p.inner"], "__init__ inner/__init__ inner/c inner/e more", id="package"),
        pytest.param(["p.b", "p.other"], "__init__ b other", id="two roots"),
        pytest.param([], "", id="no root"),
    ],
)
def test_needed_files(small_package: Path, roots: list[str], names: str):
    assert needed(small_package, *roots) == [f"p/{name}.py" for name in names.split()]


@pytest.mark.parametrize("root", ["p.missing", "q"])
def test_missing_root_is_an_error(small_package: Path, root: str):
    with pytest.raises(FileNotFoundError, match=f"{root} is not in"):
        needed(small_package, root)


def test_dependencies_are_those_of_the_package():
    package = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [need.partition(">")[0] for need in PROJECT["project"]["dependencies"]] == ["numpy", "pyzmq"]
    assert set(PROJECT["project"]["dependencies"]) <= set(package["dependencies"])
    assert PROJECT["project"]["requires-python"] == package["requires-python"]


@dataclass(frozen=True)
class Installed:
    """An environment that contains the client."""

    wheel: Path
    python: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python, without the repository."""
        words = [str(self.python), "-I", *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("client")
    wheel = build(CLIENT, folder, backend="hatchling.build")
    python = make_environment(folder / "environment", ["numpy", "pyzmq"])
    install(wheel, python)
    return Installed(wheel, python)


@contextmanager
def publishing() -> Iterator[Publisher]:
    """Publish the message again and again from a thread."""
    is_over = threading.Event()

    def publish() -> None:
        while not is_over.wait(0.01):
            publisher.publish(MESSAGE)

    with Publisher("tcp://127.0.0.1:0") as publisher:
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield publisher
        finally:
            is_over.set()
            thread.join()


@pytest.mark.slow
def test_wheel_is_small_and_holds_the_files_of_the_package(client: Installed):
    assert client.wheel.stat().st_size < 110_000
    with zipfile.ZipFile(client.wheel) as archive:
        for name in needed(REPOSITORY, *ROOTS):
            assert archive.read(f"streamseg_client/bundled/{name}") == (REPOSITORY / name).read_bytes(), name


@pytest.mark.slow
def test_source_distribution_builds_the_same_wheel(client: Installed, tmp_path: Path):
    archive = build(CLIENT, tmp_path, backend="hatchling.build", target="sdist")
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(tmp_path, filter="data")
    again = build(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path, backend="hatchling.build")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(client.wheel) as other:
        assert set(other.namelist()) <= set(one.namelist())


@pytest.mark.slow
def test_command_reads_a_live_stream(client: Installed):
    command = str(client.python.with_name("streamseg-client"))
    with publishing() as publisher:
        done = client.run(command, "subscribe", publisher.endpoint, "--count", "2", "--json", "--masks")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["source"] for line in lines] == ["cam0", "cam0"]
    assert [found["area"] for found in lines[0]["objects"]] == [found.area for found in MESSAGE.objects]
    assert {tuple(found["segmentation"]["size"]) for found in lines[0]["objects"]} == {MESSAGE.mask_size}


@pytest.mark.slow
@pytest.mark.parametrize("package", ["streamseg_client", "streamseg"])
def test_both_names_read_a_live_stream(client: Installed, package: str):
    code = (
        f"import sys; from {package} import Subscriber; message = next(iter(Subscriber(sys.argv[1])));"
        "print(len(message.objects), sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'cv2'}))"
    )
    with publishing() as publisher:
        done = client.run("-c", code, publisher.endpoint)
    assert (done.stdout, done.stderr) == ("2 []\n", "")


@pytest.mark.slow
def test_every_bundled_module_can_be_imported(client: Installed):
    modules = [name.removesuffix(".py").removesuffix("/__init__") for name in needed(REPOSITORY, *ROOTS)]
    names = [module.replace("/", ".") for module in modules]
    done = client.run("-c", f"import {', '.join(names)}, streamseg_client.main")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["--version"], 0, f"streamseg-client {__version__}\n", id="version"),
        pytest.param(["subscribe", "tcp://nowhere"], 2, "streamseg: invalid endpoint 'tcp://nowhere'", id="endpoint"),
        pytest.param(["paint"], 2, "streamseg-client: unknown subcommand 'paint'", id="unknown subcommand"),
        pytest.param(
            ["subscribe", "tcp://127.0.0.1:9", "--timeout", "0.1"],
            1,
            "streamseg: no message from tcp://127.0.0.1:9 within 0.1 s",
            id="no publisher",
        ),
    ],
)
def test_exit_codes(client: Installed, arguments: list[str], code: int, text: str):
    done = client.run("-m", "streamseg_client.main", *arguments)
    assert done.returncode == code
    assert (done.stdout + done.stderr).startswith(text)
    assert len((done.stdout + done.stderr).splitlines()) == 1


@pytest.mark.slow
def test_segmenter_names_the_whole_package(client: Installed):
    done = client.run("-c", "from streamseg import Segmenter")
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: Segmenter is not part of the light client;"
        " install the whole package, in a clone of it: pip install ."
    )


@pytest.mark.slow
def test_whole_package_takes_precedence(client: Installed, tmp_path: Path):
    python = make_environment(tmp_path / "both", ["numpy", "pyzmq"])
    install(client.wheel, python)
    (site,) = (tmp_path / "both").glob("lib/python*/site-packages")
    (site / "streamseg").symlink_to(PACKAGE)
    done = Installed(client.wheel, python).run("-c", "import streamseg_client, streamseg; print(streamseg.__file__)")
    assert (done.stdout, done.stderr) == (f"{site / 'streamseg' / '__init__.py'}\n", "")


@pytest.mark.slow
def test_folder_of_packages_needs_no_search_path(client: Installed, tmp_path: Path):
    with zipfile.ZipFile(client.wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path = [{str(tmp_path)!r}, *(path for path in sys.path if 'bundled' not in path)];"
        "import streamseg_client, streamseg; print(streamseg_client.Subscriber.__module__)"
    )
    done = client.run("-c", code)
    assert (done.stdout, done.stderr) == ("streamseg.publish.subscriber\n", "")
