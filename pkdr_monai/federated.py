"""What leaves a hospital when students learn together, and what comes in: the deployable network, and nothing else.

MONAI's ``MonaiAlgo`` exchanges the weights of the network that its trainer holds. Here that is the Distiller, with the
heads that training throws away. ``bundle/configs/federated.json`` names these functions as its filters.
"""

from __future__ import annotations

from typing import Any

from monai.fl.utils.exchange_object import ExchangeObject

__all__ = ["from_student", "to_student"]

STUDENT = "student."
"""How the names of the student's weights begin within the Distiller."""


def to_student(data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
    """Name the weights that come in as the trainer's Distiller names them, and as the evaluator's network does.

    ``MonaiAlgo`` uses of them what it finds in the one or the other; heads and teacher stay as the client has them.

    Args:
        data: weights of the deployable network.
        extra: not read.

    Example:
        >>> sorted(to_student(ExchangeObject(weights={"encoder": 1})).weights)
        ['encoder', 'student.encoder']
    """
    weights = dict(data.weights or {})
    return _with_weights(data, weights | {STUDENT + name: value for name, value in weights.items()})


def from_student(data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
    """Let only the student's weights out, under the names of the deployable network.

    Args:
        data: weights of the Distiller, or what they changed by; weights read from ``model.pt`` are let out as they are.
        extra: not read.

    Example:
        >>> changes = {"student.encoder": 1, "student_heads.projection": 2}
        >>> sorted(from_student(ExchangeObject(weights=changes)).weights)
        ['encoder']
    """
    weights = dict(data.weights or {})
    own = {name.removeprefix(STUDENT): value for name, value in weights.items() if name.startswith(STUDENT)}
    return _with_weights(data, own or weights)


def _with_weights(data: ExchangeObject, weights: dict[str, Any]) -> ExchangeObject:
    data.weights = weights
    return data
