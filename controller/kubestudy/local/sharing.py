"""Files that all trials of a Study would write: on one machine they share a working folder."""

from __future__ import annotations

import re

from kubestudy.api.field_errors import shown
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError
from kubestudy.core.template_texts import containers

_WRITES = r"output|out|save|checkpoint|ckpt|log|logging|result|results|export"
_OPTION = re.compile(
    rf"--?((?:{_WRITES})[-_]?(?:dir|directory|path|folder|file)|output|save[-_]to|o)(?:=(.*))?",
    re.DOTALL,
)
_OF_TRIAL = re.compile(r"\$\(KUBESTUDY_(?:TRIAL|OUTPUT_DIR|CHECKPOINT_DIR)\)|\$\{parameters\.")
_STREAMS = ("", "-", "/dev/null", "/dev/stdout", "/dev/stderr")


def shared_outputs(spec: StudySpec) -> list[FieldError]:
    """Lists the options that name one file or folder for all trials to write to."""
    found = []
    for container in containers(spec)[:1]:
        for i, word in enumerate(container.words):
            option = _OPTION.fullmatch(word.value)
            if option is None:
                continue
            name, value = option.groups()
            if value is None:
                following = container.words[i + 1 : i + 2]
                value = following[0].value if following else ""
            if value in _STREAMS or value.startswith("-") or _OF_TRIAL.search(value):
                continue
            own = f"--{name}={value.rstrip('/')}/$(KUBESTUDY_TRIAL)"
            found.append(
                FieldError(
                    word.path,
                    f"all trials write to {shown(value)} on this machine, one over the other; give"
                    f" each its own, as in {own}",
                )
            )
    return found
