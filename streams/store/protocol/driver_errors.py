"""Errors of the driver in words. The driver's own texts name classes and dictionaries of Python. Pure."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from cassandra import OperationTimedOut, Timeout, Unavailable, consistency_value_to_name
from cassandra.cluster import NoHostAvailable

from encoder.wording import counted


class FewReplicas(NamedTuple):
    """Too few replicas of a row live, or too few of them have answered in time."""

    consistency: str
    needed: int
    answering: int

    def __str__(self) -> str:
        answer = "answers" if self.answering == 1 else "answer"
        return f"{self.consistency} needs {counted(self.needed, 'replica')} of a row, and {self.answering} {answer}"


def few_replicas(error: BaseException | None) -> FewReplicas | None:
    """What a request lacked that failed with this error, or with an error that stands behind it."""
    while error is not None:
        found = _lacking(error)
        if found is not None:
            return found
        for one in _errors_by_node(error).values():
            found = few_replicas(one) if isinstance(one, BaseException) else None
            if found is not None:
                return found
        error = error.__cause__
    return None


def plain_text(error: BaseException) -> str:
    """The error's text. Nodes with one and the same error stand behind the text, in brackets."""
    found = _lacking(error)
    if found is not None:
        return str(found)
    errors = _errors_by_node(error)
    if isinstance(error, OperationTimedOut):
        nodes = {str(node) for node in (*errors, error.last_host) if node is not None}
        return f"no answer in time{_in_brackets(nodes)}"
    if isinstance(error, NoHostAvailable) and errors:
        nodes_of: dict[str, set[str]] = {}
        for node, one in errors.items():
            nodes_of.setdefault(plain_text(one) if isinstance(one, BaseException) else str(one), set()).add(str(node))
        return ", ".join(f"{text}{_in_brackets(nodes)}" for text, nodes in nodes_of.items())
    if isinstance(error, NoHostAvailable):
        return str(error.args[0])
    code = error.errno if isinstance(error, OSError) else None
    if code is not None and code > 0:  # The codes of a name service are negative.
        return os.strerror(code)
    return str(error)


def _lacking(error: BaseException) -> FewReplicas | None:
    if isinstance(error, Unavailable):
        needed, answering = error.required_replicas, error.alive_replicas
    elif isinstance(error, Timeout):
        needed, answering = error.required_responses, error.received_responses
    else:
        return None
    if needed is None or answering is None or answering >= needed:
        return None
    return FewReplicas(consistency_value_to_name(error.consistency), needed, answering)


def _errors_by_node(error: BaseException) -> Mapping[Any, Any]:
    """The driver has a list in place of the mapping where no node was asked."""
    errors = getattr(error, "errors", None)
    return errors if isinstance(errors, Mapping) else {}


def _in_brackets(nodes: set[str]) -> str:
    return f" ({', '.join(sorted(nodes))})" if nodes else ""
