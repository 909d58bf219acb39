"""The argument parser: one-line errors that suggest the nearest name."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamseg.redaction import redact_text

__all__ = ["Parser", "subparsers_of"]

_NUMBER = re.compile(r"-?\d*\.?\d+,?")


class Parser(argparse.ArgumentParser):
    """argparse with one-line error messages, like all other errors, and with suggestions for misspelled names.

    Inputs (`inputs`, any number of them) may stand between options, which argparse alone does not accept. Empty
    inputs and paths are rejected: they come from variables that are not set, and an empty path would be the current
    folder.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Also `-5,-5,10,10` is a value; argparse alone knows `-5` only.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        self.exit(2, redact_text(f"{self.prog}: {message} (see {self.prog} --help)\n"))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and reject unknown options here, where the subcommand's own names are known."""
        parsed, extra = super().parse_known_args(args, namespace)
        if isinstance(getattr(parsed, "inputs", None), list):
            parsed.inputs += [word for word in extra if not word.startswith("-")]
            extra = [word for word in extra if word.startswith("-")]
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}{self._hint_for(extra[0])}")
        return parsed, extra

    def _hint_for(self, word: str) -> str:
        """Return what may have been meant by the first word that is left over."""
        if _NUMBER.fullmatch(word):
            return "; join the numbers of one value by commas, as in 10,20,200,300"
        options = [option for option in self._option_string_actions if option.startswith("--")]
        return _hint(word.partition("=")[0], options) if word.startswith("-") else ""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Return the converted value; an empty input or path is rejected, other options decide for themselves."""
        is_input = not action.option_strings and not isinstance(action, argparse._SubParsersAction)
        is_path = action.type is Path or str(action.metavar).endswith(("FILE", "FOLDER"))
        if (is_input or is_path) and not arg_string.strip():
            raise argparse.ArgumentError(action, "the value is empty; if it is a variable, set it")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Reject a value that is not one of the choices; name the nearest one."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            is_command = isinstance(action, argparse._SubParsersAction)
            what = f"unknown subcommand {value!r}" if is_command else f"invalid choice: {value!r}"
            hint = _hint(str(value), names) or f"; choose from {', '.join(names)}"
            raise argparse.ArgumentError(None if is_command else action, f"{what}{hint}")


def _hint(word: str, names: Iterable[str]) -> str:
    """Return `; did you mean …?` with the nearest name; "" if none is near."""
    bare = {name.lstrip("-"): name for name in names}  # common dashes are no similarity
    near = difflib.get_close_matches(word.lower().lstrip("-"), list(bare), n=1)
    return f"; did you mean {bare[near[0]]!r}?" if near else ""


def subparsers_of(parser: argparse.ArgumentParser) -> Sequence[argparse.ArgumentParser]:
    """Return the parsers of the subcommands, each once, however many aliases it has."""
    found: dict[int, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {id(each): each for each in action.choices.values()}
    return list(found.values())
