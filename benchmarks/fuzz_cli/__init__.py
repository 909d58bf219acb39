"""Fuzz the command line: whatever people feed it, each run ends in time, without a traceback, with one line on error.

inputs     valid files and command lines of every subcommand
mutations  changes of files and command lines
runner     one run in this process, and what is wrong with it
__main__   the whole benchmark: `scripts/bench fuzz_cli`
"""
