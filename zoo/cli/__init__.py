"""The ``zoo`` command: list, info, fit, test, predict, verify, tune, export, card, push, completion."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo.cli.commands import COMMANDS
from zoo.cli.completion import answer_shell
from zoo.cli.parser import make_parser, read_settings
from zoo.errors import unknown
from zoo.outcome import end_well
from zoo.prediction import parse_words


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words after ``zoo``; those of the process if None.

    Returns:
        0 on success, 1 for a claim that is not met, 2 for an error, which is one line, 130 and 143 after Ctrl-C and
        SIGTERM, 141 if the reader of the output is gone.
    """
    return end_well(list(sys.argv[1:] if argv is None else argv), _run)


def _run(words: list[str]) -> int:
    parser = make_parser()
    answer_shell(parser)
    _check_command(words)
    args, rest = parse_words(parser, words)
    if args.command is None:
        parser.print_help()
        return 0
    return COMMANDS[args.command](args, read_settings(rest, args.command))


def _check_command(words: list[str]) -> None:
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        raise unknown("command", words[0], COMMANDS)
