import shutil
import subprocess

import pytest

from streamseg.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_script_names_subcommands_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "check-config" in script
    assert "--no-publish" in script or shell == "tcsh"
    interpreter = shutil.which(shell)
    if interpreter is not None:
        subprocess.run([interpreter, "-n"], input=script, text=True, check=True)


@pytest.mark.slow
def test_bash_completes_a_subcommand(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    (function,) = [line.split()[-2] for line in script.splitlines() if line.startswith("complete ")]
    question = f"{script}\nCOMP_WORDS=(streamseg segm); COMP_CWORD=1; {function}; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", question], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["segment"]
