"""Files and folders that all trials of a Study would write to: on one machine they share a folder.

One trial's model or log is then overwritten by another's, and a program that looks for its last
checkpoint may find one of another trial. What a program writes to can only be guessed from words:
options and variables whose names are of output and not of input, and where a shell's script sends
a stream. A path in which anything may differ is passed over.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from kubestudy.api.field_errors import shown
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError
from kubestudy.core.template_texts import StartedContainer, containers

MOST = 5
"""No more are listed."""
LONGEST = 255
"""Characters of a path; what is longer is no path that somebody wrote."""

_WRITES = (
    r"output|out|save|checkpoints?|ckpts?|logs?|logging|results?|export|tensorboard|artifacts?"
)
_KINDS = r"dir|directory|path|folder|file"
_OPTION = re.compile(
    rf"--?(?:(?:{_WRITES})[-_]?(?:{_KINDS})|output|save[-_]to|default[-_]root[-_]dir|o)"
)
_SETTING = re.compile(r"hydra\.(?:run|sweep)\.dir")
_VARIABLE = re.compile(rf"(?:[A-Z]+_)?(?:{_WRITES})_?(?:{_KINDS})", re.IGNORECASE)
_REDIRECTIONS = (">", ">>", "&>", ">|", "tee")
# A script that goes somewhere else writes relative paths there.
_ELSEWHERE = re.compile(r"\b(?:cd|pushd|mktemp)\b")
_VARIES = re.compile(r"[$`*?]|\{\{")
_STREAMS = ("", "-", "/dev/null", "/dev/stdout", "/dev/stderr")
# Of a file, a format, or an option of the shell: only what looks like a path is one.
_AMBIGUOUS = ("-o", "-output", "--output")
# It keeps the folders of trials apart by itself.
_TRIAL_PROGRAM = re.compile(r"kubestudy[-_]trial\b")


@dataclass(frozen=True)
class _Place:
    """Something that is written to.

    Attributes:
        field: What says so.
        before: The words before the path.
        path: The path.
        variable: How the value of a variable is named there.
    """

    field: str
    before: str
    path: str
    variable: str = "$(%s)"


def shared_outputs(spec: StudySpec) -> list[FieldError]:
    """Lists what all trials would write to, with what to write instead.

    Args:
        spec: The spec of a valid Study.

    Returns:
        The fields, relative to the spec; each path once, and the first :data:`MOST` of them.
    """
    main, trial = containers(spec)[0], spec.trial
    its_own = trial.template is None and trial.image is None and not trial.command
    its_own |= any(_TRIAL_PROGRAM.search(word) for word in (*main.line, trial.image or ""))
    if its_own or spec.budget.max_trials == 1:
        return []
    found: dict[str, FieldError] = {}
    for place in _places(main):
        if _is_shared(place.path):
            found.setdefault(place.path, FieldError(place.field, _advice(place, spec)))
    return list(found.values())[:MOST]


def _places(main: StartedContainer) -> Iterator[_Place]:
    for word, following in zip(main.words, [*main.line[1:], ""], strict=True):
        if word.is_script:
            yield from _of_script(word.value, word.path)
        elif place := _of_word(word.value, following, word.path):
            yield place
    values = {text.path: text.value for text in main.variables}
    for path, name in values.items():
        field = f"{path.removesuffix('.name')}.value"
        if path.endswith(".name") and field in values and _VARIABLE.fullmatch(name):
            yield _Place(field, f"{name}=", values[field])


def _of_word(word: str, following: str, field: str) -> _Place | None:
    """An option with its value, in one word or two."""
    name, equals, value = word.partition("=")
    if not equals:
        value = following
    if not _OPTION.fullmatch(name) and not (equals and _SETTING.fullmatch(name)):
        return None
    if name in _AMBIGUOUS and "/" not in value and not PurePosixPath(value).suffix:
        return None
    return _Place(field, f"{name}{equals or ' '}", value)


def _of_script(script: str, field: str) -> Iterator[_Place]:
    try:
        reader = shlex.shlex(script, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        words = list(reader)
    except ValueError:  # Quotes that are not closed.
        return
    elsewhere = _ELSEWHERE.search(script) is not None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        place = _of_word(word, following, field)
        if word in _REDIRECTIONS:
            place = _Place(field, f"{word} ", following)
        if place and (place.path.startswith("/") or not elsewhere):
            yield _Place(field, place.before, place.path, "${%s}")


def _is_shared(path: str) -> bool:
    """Whether it is a path, and the same for all trials."""
    no_path = path in _STREAMS or path.startswith(("-", "&")) or "://" in path
    return not no_path and len(path) <= LONGEST and not _VARIES.search(path)


def _advice(place: _Place, spec: StudySpec) -> str:
    names = ["KUBESTUDY_TRIAL"]
    if spec.cross_validation and not spec.one_pod:
        names.append("KUBESTUDY_FOLD")
    own = "-".join(place.variable % name for name in names)
    path = PurePosixPath(place.path)
    file = path.with_name(f"{path.stem}-{own}{path.suffix}") if path.suffix else path / own
    return (
        f"all trials write to {shown(place.path)} on this machine, one over the other; give each"
        f" its own, as in {place.before}{file}"
    )
