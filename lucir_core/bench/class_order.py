"""The order in which classes arrive: drawn from a seed, given as a list, or read from a file."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import yaml

from lucir_core.errors import ConfigError

PAPERS_SEED = 1993
"""The order of iCaRL, LUCIR and most successors: 68, 56, 78, 8, 23, ... for 100 classes."""

SEEDS = 1 << 32

ORDER_NAMES = ("easiest", "median", "hardest")


def seeded_order(class_count: int, seed: int = PAPERS_SEED) -> tuple[int, ...]:
    """`arange(class_count)` shuffled by NumPy's legacy generator, as every published script does.

    Raises ConfigError for a seed that this generator does not take.
    """
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"the seed of the class order is {seed}: NumPy draws orders from 0 to {SEEDS - 1}")
    order = np.arange(class_count)
    # The legacy generator is the point: only it draws the published orders.
    np.random.RandomState(seed).shuffle(order)
    return tuple(order.tolist())


def read_order(path: Path) -> tuple[int, ...]:
    """Class numbers of a file: a JSON list, or whole numbers between white space or commas."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the order file {path} cannot be read: {error.strerror}") from error
    try:
        values = json.loads(text) if text.lstrip().startswith("[") else text.replace(",", " ").split()
        return tuple(_whole(value) for value in values)
    except ValueError as error:
        raise ConfigError(f"the order file {path} must hold whole numbers only: {error}") from error


def named_orders(class_count: int) -> dict[str, tuple[int, ...]]:
    """`easiest`, `median` and `hardest` of CIFAR-100, where there are 100 classes; `benchmarks/orders` made them."""
    text = (resources.files("lucir_core.bench") / "orders" / "cifar100.yaml").read_text(encoding="utf-8")
    orders = {name: tuple(order) for name, order in yaml.safe_load(text).items()}
    return {name: order for name, order in orders.items() if len(order) == class_count}


def parse_order(text: str, class_count: int, run_seed: int) -> tuple[int, ...]:
    """What a person writes: a seed (`1993`), `run` (the run's own seed), a list (`3,1,2`), a file, or for CIFAR-100
    `easiest`, `median` or `hardest`."""
    if text in ORDER_NAMES:
        if text not in (named := named_orders(class_count)):
            raise ConfigError(f"the order {text!r} is of the 100 classes of CIFAR-100: with {class_count} give a seed")
        return named[text]
    if text == "run":
        return seeded_order(class_count, run_seed)
    if text.isdecimal():
        return seeded_order(class_count, int(text))
    parts = text.split(",")
    if len(parts) > 1 and all(part.strip().isdecimal() for part in parts):
        return tuple(int(part) for part in parts)
    return read_order(Path(text))


def check_order(order: Sequence[int], class_count: int) -> None:
    """Raise ConfigError unless `order` names classes of 0 to class_count - 1, each at most once."""
    seen: set[int] = set()
    for place, label in enumerate(order):
        if not 0 <= label < class_count:
            raise ConfigError(f"the class order has {label} at place {place}: classes are 0 to {class_count - 1}")
        if label in seen:
            raise ConfigError(f"the class order repeats class {label} (again at place {place}): name each class once")
        seen.add(label)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)
