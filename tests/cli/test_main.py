import argparse
import subprocess
import sys

import pytest

from streamseg import __version__
from streamseg.cli import main as module
from streamseg.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--version"], 0, id="version"),
        pytest.param(["--help"], 0, id="help"),
        pytest.param(["segment", "--help"], 0, id="help of a subcommand"),
        pytest.param([], 2, id="nothing"),
        pytest.param(["paint"], 2, id="unknown subcommand"),
        pytest.param(["weights", "get"], 2, id="missing argument"),
    ],
)
def test_exit_codes_of_the_parser(arguments, code, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    if code == 2:
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


ALIASES = {"predict": "segment", "track": "segment", "val": "eval"}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_alias_is_the_subcommand(alias, name):
    parser = module.build_parser()
    argument = "all"  # a protocol of eval, and to the others a path
    assert parser.parse_args([alias, argument]) == parser.parse_args([name, argument])


def choices_of(parser):
    """Return the subcommands of a parser by name; empty if it has none."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return actions[0].choices if actions else {}


def test_every_subcommand_has_a_function():
    names = set(choices_of(module.build_parser()))
    for parser in choices_of(module.build_parser()).values():
        # `keys` has no function of its own, but each of its actions has.
        leaves = choices_of(parser).values() or [parser]
        assert all(leaf.get_default("command") is not None for leaf in leaves)
    assert names == {
        "batch",
        "collect",
        "demo",
        "fleet",
        "label-studio",
        "ros",
        "run",
        "segment",
        "subscribe",
        "train",
        "refine",
        "embed",
        "label",
        "pack",
        "eval",
        "export",
        "quantize",
        "weights",
        "text",
        "tiers",
        "keys",
        "yolo",
        "check-config",
        "doctor",
        "completion",
        *ALIASES,
    }


def test_error_is_one_line_with_exit_code_2(capsys, tmp_path):
    assert main(["check-config", str(tmp_path / "none.yaml")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("streamseg: ")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["streamseg", "streamseg.cli.main"])
def test_module_is_the_command(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"streamseg {__version__}\n")


@pytest.mark.slow
def test_parser_imports_no_heavy_module():
    heavy = "{'torch', 'cv2', 'av', 'onnxruntime', 'scipy', 'rich'}"
    code = (
        "import sys; from streamseg.cli.main import build_parser; build_parser();"
        f"print(sorted(set(sys.modules) & {heavy}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
