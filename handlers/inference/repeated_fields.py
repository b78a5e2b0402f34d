"""All values of a form field that is sent several times.

TorchServe's worker makes a dictionary of a form's parts, in which the last part of a name replaces those before it: of
two images sent as ``data`` one would vanish without a word.
"""

from collections import defaultdict
from functools import wraps
from typing import Any

_MARK = "keeps_repeated_fields"


def keep_repeated_fields() -> None:
    """From now on this worker hands its handler a list where a field has several values. Repeating it is harmless."""
    from ts.service import Service  # there inside a worker only, and slow to import elsewhere

    read = Service.retrieve_data_for_inference
    if getattr(read, _MARK, False):
        return

    @wraps(read)
    def read_all(batch: Any) -> Any:
        headers, inputs, identities = read(batch)
        for fields, request in zip(inputs, batch, strict=True):
            fields.update(_repeated(request["parameters"]))
        return headers, inputs, identities

    setattr(read_all, _MARK, True)
    Service.retrieve_data_for_inference = staticmethod(read_all)


def _repeated(parameters: list[dict[str, Any]]) -> dict[str, list[Any]]:
    values = defaultdict(list)
    for parameter in parameters:
        values[parameter["name"]].append(parameter["value"])
    return {name: found for name, found in values.items() if len(found) > 1}
