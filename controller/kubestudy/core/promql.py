"""Binds a PromQL query to one pod, so that it can read nothing else.

The query is read by a small grammar and written anew from what was understood: every selector of
series gets the pod's namespace and name, and what the grammar does not know is refused. A part of
the language that is left out here can so never be a way around it.

    query     = term {("+" | "-" | "*" | "/") term}
    term      = ["-"] (number | "(" query ")" | call | aggregation | selector)
    call      = function "(" argument {"," argument} ")"
    selector  = [name] "{" [matcher {"," matcher} [","]] "}" | name
    matcher   = label ("=" | "!=" | "=~" | "!~") string

The syntax is that of https://prometheus.io/docs/prometheus/latest/querying/basics/.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAX_DEPTH = 20
BOUND = ("namespace", "pod")

_VALUE, _RANGE, _NUMBER = "value", "range", "number"
_ROUNDING = ("abs", "ceil", "floor", "round", "exp", "ln", "log2", "log10", "sqrt")
_OVER_TIME = ("avg", "min", "max", "sum", "count", "last", "stddev")
_CHANGE = ("rate", "irate", "increase", "delta", "idelta", "deriv", "changes")
FUNCTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_ROUNDING, (_VALUE,)),
    **{f"{name}_over_time": (_RANGE,) for name in _OVER_TIME},
    **dict.fromkeys(_CHANGE, (_RANGE,)),
    "clamp_min": (_VALUE, _NUMBER),
    "clamp_max": (_VALUE, _NUMBER),
    "quantile_over_time": (_NUMBER, _RANGE),
    "histogram_quantile": (_NUMBER, _VALUE),
}
AGGREGATIONS = ("sum", "avg", "min", "max", "count")

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<duration>[0-9]+(?:ms|[smhdw]))
    |(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<sign>=~|!~|!=|[-+*/(){}\[\],=])
    )""",
    re.VERBOSE,
)


class PromQLError(ValueError):
    """A query that is not understood; the message says where and why."""


@dataclass(frozen=True)
class BoundQuery:
    """A query that reads the series of one pod only.

    Attributes:
        text: The query, for an instant.
        plain: Whether it is a mere selector, whose samples can be had as they were scraped.
        single: Whether its answer can only be one series, without a name.
    """

    text: str
    plain: bool
    single: bool

    def over(self, seconds: int, step: int) -> str:
        """The query for all values of the last seconds; of an expression, one every ``step``."""
        if self.plain:
            return f"{self.text}[{seconds}s]"
        return f"({self.text})[{seconds}s:{step}s]"


def bind(query: str, namespace: str, pod: str) -> BoundQuery:
    """Binds a query to a pod.

    Args:
        query: As the user wrote it.
        namespace: The pod's.
        pod: Its name.

    Raises:
        PromQLError: It is not understood.
    """
    parser = _Parser(query, dict(zip(BOUND, (namespace, pod), strict=True)))
    text = parser.query(0)
    parser.end()
    if not parser.selectors:
        raise PromQLError("names no series of the trial")
    return BoundQuery(text, parser.operations == 0, single=parser.named == 0)


class _Parser:
    """Reads a query from left to right, and returns each part as it should be written."""

    def __init__(self, query: str, bound: dict[str, str]):
        self._bound = bound
        self._tokens = _tokens(query)
        self._at = 0
        self.selectors = 0
        self.named = 0
        self.operations = 0

    def query(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise self._wrong("is nested too deeply")
        text = self._term(depth)
        while self._next in ("+", "-", "*", "/"):
            self.operations += 1
            text += f" {self._take()} {self._term(depth)}"
        return text

    def end(self) -> None:
        if self._kind != "end":
            raise self._wrong("is not understood")

    def _term(self, depth: int) -> str:
        if self._next == "-":
            self.operations += 1
            return self._take() + self._term_without_sign(depth)
        return self._term_without_sign(depth)

    def _term_without_sign(self, depth: int) -> str:
        if self._kind == "number":
            self.operations += 1
            return self._take()
        if self._next == "(":
            self.operations += 1
            return self._take() + self.query(depth + 1) + self._expect(")")
        if self._next == "{":
            return self._selector("")
        if self._kind != "name":
            raise self._wrong(
                "is not understood; a metric, a function or a number is expected here"
            )
        name = self._take()
        if name in AGGREGATIONS and self._next in ("(", "by"):
            return self._aggregation(name, depth)
        if self._next == "(":
            return self._call(name, depth)
        return self._selector(name)

    def _aggregation(self, name: str, depth: int) -> str:
        self.operations += 1
        named = self.named
        labels = self._labels() if self._next == "by" else ""
        text = self._expect("(") + self.query(depth + 1) + self._expect(")")
        if not labels and self._next == "by":
            labels = self._labels()
        if not labels:
            self.named = named
        return name + labels + text

    def _labels(self) -> str:
        text = " " + self._take() + " " + self._expect("(") + self._expect_kind("name", "a label")
        while self._next == ",":
            text += self._take() + self._expect_kind("name", "a label")
        return text + self._expect(")") + " "

    def _call(self, name: str, depth: int) -> str:
        if name not in FUNCTIONS:
            self._at -= 1
            known = ", ".join(sorted((*FUNCTIONS, *AGGREGATIONS)))
            raise self._wrong(f"is no function that may be used here; these may: {known}")
        self.operations += 1
        arguments = []
        opening = self._expect("(")
        for i, kind in enumerate(FUNCTIONS[name]):
            if i:
                self._expect(",")
            if kind == _NUMBER:
                arguments.append(self._expect_kind("number", "a number"))
            elif kind == _VALUE:
                arguments.append(self.query(depth + 1))
            else:
                arguments.append(self._range())
        return name + opening + ", ".join(arguments) + self._expect(")")

    def _range(self) -> str:
        name = self._take() if self._kind == "name" else ""
        if not name and self._next != "{":
            raise self._wrong(
                "is not understood; a metric with a range such as loss[5m] is expected"
            )
        selector = self._selector(name)
        text = self._expect("[") + self._expect_kind("duration", "a range such as 5m")
        return selector + text + self._expect("]")

    def _selector(self, name: str) -> str:
        self.selectors += 1
        self.named += 1
        matchers = []
        if self._next == "{":
            self._take()
            while self._next != "}":
                matchers.append(self._matcher())
                if self._next != ",":
                    break
                self._take()
            self._expect("}")
        if not name and not any(m.startswith("__name__=") for m in matchers):
            raise self._wrong(
                'comes after a selector that names no metric; put its name before "{"'
            )
        matchers += [f"{label}={_quoted(value)}" for label, value in self._bound.items()]
        return name + "{" + ",".join(matchers) + "}"

    def _matcher(self) -> str:
        if self._next in self._bound:
            raise self._wrong("is set by kubestudy to the trial's own; leave it out")
        label = self._expect_kind("name", "a label")
        if self._next not in ("=", "!=", "=~", "!~"):
            raise self._wrong("is not understood; one of = != =~ !~ is expected here")
        sign = self._take()
        return label + sign + _quoted(_unquoted(self._expect_kind("string", "a string in quotes")))

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _next(self) -> str:
        return self._tokens[self._at][1]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _expect(self, sign: str) -> str:
        if self._next != sign:
            raise self._wrong(f"is not understood; {sign!r} is expected here")
        return self._take()

    def _expect_kind(self, kind: str, what: str) -> str:
        if self._kind != kind:
            raise self._wrong(f"is not understood; {what} is expected here")
        return self._take()

    def _wrong(self, message: str) -> PromQLError:
        kind, text, position = self._tokens[self._at]
        what = "the end" if kind == "end" else repr(text)
        return PromQLError(f"at character {position + 1}: {what} {message}")


def _tokens(query: str) -> list[tuple[str, str, int]]:
    """The words of a query, each with its kind and place; the last one is its end."""
    tokens = []
    at = 0
    while at < len(query.rstrip()):
        match = _TOKEN.match(query, at)
        if match is None or match.lastgroup is None:
            place = at + len(query[at:]) - len(query[at:].lstrip())
            raise PromQLError(f"at character {place + 1}: {query[place]!r} is not understood")
        tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return [*tokens, ("end", "", at)]


def _unquoted(text: str) -> str:
    """The text that a string stands for; of escapes, those that regular expressions need."""
    return re.sub(r"\\(.)", lambda m: m[1] if m[1] in "\\\"'" else m[0], text[1:-1])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
