"""Scripts that a container gives to a shell by ``-c``, and what they make of what follows them.

After ``sh -c SCRIPT`` the first word is the script's own name, ``$0``, and only those after it are
its arguments: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/sh.html. Scripts are not
parsed: what a shell does not expand (comments, single quotes) is passed over, the rest is searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile

SHELLS = {"sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "rbash", "busybox"}
_WITH_VALUE = {"--rcfile", "--init-file"}

_PART = re.compile(
    r"""
    (?P<hidden> \\. | '[^']*' | (?<![^\s;&|()])\#[^\n]* )
    | "(?P<quoted> (?: \\. | [^"\\] )* )"
    | [^\\'"#]+ | .
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_ARGUMENTS = re.compile(
    r"\$[@*#1-9] | \$\{[\#!]?[@*1-9] | \$\{\#[\}:] | \$\{BASH_ARG"
    r"| \b(?:shift|getopts)\b | \bfor\s+\w+\s*(?:;\s*)?do\b",
    re.VERBOSE,
)
_OWN_NAME = re.compile(r"\$0|\$\{[#!]?0")
_NUMBER = re.compile(r"\$([1-9])|\$\{[#!]?([1-9][0-9]*)")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)|\$\{[#!]?([A-Za-z_]\w*)")
_END_OF_COMMAND = re.compile(r"[;\n&|()]")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)\+?=")
_DEFAULT = re.compile(r"\$\{([A-Za-z_]\w*):?=")
_SETS = re.compile(r"\b(?:for|read|getopts|mapfile|readarray|printf|declare|local|export)\b")
_KEYWORDS = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "readonly", "typeset"}
_WORD = re.compile(r"[A-Za-z_]\w*")
_IN_TURN = re.compile(r"\b(?:shift|getopts)\b")


def scripts(words: Sequence[str]) -> Iterator[int]:
    """Finds scripts among words: after a shell's options, such as ``-c`` or ``-euo pipefail -c``.

    Args:
        words: A program and its arguments.

    Returns:
        The places of the scripts.
    """
    for start, text in enumerate(words):
        if text.rsplit("/", 1)[-1] not in SHELLS:
            continue
        word, is_script = start + 1, False
        while word < len(words) and words[word][:1] in ("-", "+") and words[word] != "--":
            option = words[word]
            letters = option.lstrip("-+") if option[:2] != "--" else ""
            is_script |= "c" in letters
            word += 1 + letters.count("o") + letters.count("O") + (option in _WITH_VALUE)
        word += word < len(words) and words[word] == "--"
        if is_script and word < len(words):
            yield word


class Script:
    """What a script uses of what it is given.

    Args:
        text: The script.
    """

    def __init__(self, text: str):
        self._text = text
        self._expanded = "".join(
            _ESCAPED.sub("", part["quoted"]) if part["quoted"] is not None else part[0]
            for part in _PART.finditer(text)
            if part["hidden"] is None
        )

    @property
    def uses_arguments(self) -> bool:
        """Whether it uses any of the words after ``$0``."""
        return _ARGUMENTS.search(self._expanded) is not None

    @property
    def uses_its_name(self) -> bool:
        """Whether it uses ``$0``."""
        return _OWN_NAME.search(self._expanded) is not None

    @property
    def numbers(self) -> set[int]:
        """Which arguments it names by their number, where a number is always the same argument."""
        if _IN_TURN.search(self._expanded):
            return set()
        return {int(a or b) for a, b in _NUMBER.findall(self._expanded)}

    @property
    def unset_variables(self) -> set[str]:
        """Which variables it reads and does not set itself."""
        read = {a or b for a, b in _VARIABLE.findall(self._expanded)}
        for command in _END_OF_COMMAND.split(self._text) if read else ():
            read -= set(_DEFAULT.findall(command))
            if _SETS.search(command):
                read -= set(_WORD.findall(command))
            for word in dropwhile(_KEYWORDS.__contains__, command.split()):
                if not (assigned := _ASSIGNED.match(word)):
                    break
                read.discard(assigned[1])
        return read
