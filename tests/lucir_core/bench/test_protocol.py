"""Protocols and class orders: the published ones, unequal ones, and every way to get them wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lucir_core.bench.class_order import ORDER_NAMES, parse_order, seeded_order
from lucir_core.bench.protocol import Protocol, make_protocol
from lucir_core.bench.spec import RunSpec
from lucir_core.config.method_settings import BeyondPaper, Boost, Der, Eeil
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.methods import METHODS

HUNDRED = seeded_order(100)


def test_named_orders_are_those_of_cifar100_and_of_nothing_else() -> None:
    found = [parse_order(name, 100, 1) for name in ORDER_NAMES]
    assert all(sorted(order) == list(range(100)) for order in found)
    assert len({*found, seeded_order(100)}) == 4
    with pytest.raises(ConfigError, match="100 classes of CIFAR-100: with 10 give a seed"):
        parse_order("easiest", 10, 1)


def test_the_papers_order() -> None:
    # As printed in the logs of PyCIL and as DER's order no. 1.
    assert HUNDRED[:10] == (68, 56, 78, 8, 23, 84, 90, 65, 74, 76)
    assert sorted(HUNDRED) == list(range(100))


@pytest.mark.parametrize("phases", [1, 2, 5, 10, 25, 50])
def test_b50(phases: int) -> None:
    protocol = make_protocol("b50", phases, HUNDRED)
    assert protocol.phase_sizes == (50, *([50 // phases] * phases))
    assert protocol.title == f"b50-{phases}"
    assert RunSpec("cifar100", protocol, "lucir").config.exemplars_per_class == 20


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_b0(steps: int) -> None:
    protocol = make_protocol("b0", steps, HUNDRED)
    assert protocol.phase_sizes == (100 // steps,) * steps
    assert protocol.title == f"b0-{steps}"
    config = RunSpec("cifar100", protocol, "lucir").config
    assert (config.memory_total, config.exemplars_per_class) == (2000, None)


@pytest.mark.parametrize(("classes", "memory"), [(10, 200), (100, 2000), (1000, 20_000), (3000, 60_000)])
def test_the_memory_of_b0_is_that_of_the_data_set(classes: int, memory: int) -> None:
    protocol = make_protocol("b0", 10, seeded_order(classes))
    assert RunSpec("folder", protocol, "icarl", "imagenet_full").config.memory_total == memory


def test_der_in_equal_steps_has_no_pretraining_of_half_of_the_classes() -> None:
    config = spec("der").config
    assert (config.epochs, config.initial_epochs, config.initial_milestones) == (170, None, None)
    half = RunSpec("cifar100", make_protocol("b50", 5, HUNDRED), "der").config
    assert (half.initial_epochs, half.initial_milestones) == (200, (60, 120, 160))
    chosen = spec("der", settings={"initial_epochs": 100}).config
    assert (chosen.initial_epochs, chosen.initial_milestones) == (100, (30, 60, 80))
    assert spec(preset="cifar100_lucir_plus").config.initial_epochs == 200, "it is no pre-training"


def scaled(method: str, **facts: Any) -> PhaseConfig:
    return RunSpec("cifar100", make_protocol("scaled", 2, HUNDRED), method, **facts).config


@pytest.mark.parametrize("method", METHODS.names())
def test_scaled_runs_are_short_and_equal_in_memory(method: str) -> None:
    config = scaled(method)
    assert (config.network, config.epochs, config.initial_epochs) == ("resnet8", 8, None)
    assert (config.exemplars_per_class, config.memory_total) == (20, None)


def test_scaled_shortens_what_a_method_does_beside_its_epochs() -> None:
    plus, eeil = scaled("lucir", preset="cifar100_lucir_plus"), scaled("eeil").settings_of(Eeil)
    boost = plus.settings_of(BeyondPaper).boost
    assert (plus.initial_epochs, boost.epochs, boost.compression_epochs) == (None, 8, 6)
    assert (eeil.views, eeil.finetune_epochs, eeil.finetune_milestones) == (1, 6, (2, 4))
    assert scaled("der").settings_of(Der).warmup_epochs == 1
    # Made runs have the published epochs of what they did not do.
    assert scaled("lucir").settings_of(BeyondPaper).boost == Boost()
    assert scaled("lucir").settings_of(Eeil) == Eeil()


def test_chosen_settings_win_over_those_of_scaled() -> None:
    chosen = scaled("eeil", settings={"eeil": {"views": 3}, "eeil.finetune_epochs": 12, "memory_total": 100})
    assert (chosen.settings_of(Eeil).views, chosen.settings_of(Eeil).finetune_milestones) == (3, (4, 8))
    assert (chosen.exemplars_per_class, chosen.memory_total) == (None, 100)
    assert scaled("lucir", preset="cifar100_lucir_plus", settings={"initial_epochs": 20}).initial_epochs == 20


def test_a_memory_of_ones_own_replaces_that_of_the_protocol() -> None:
    config = spec(settings={"exemplars_per_class": 7}).config
    assert (config.memory_total, config.exemplars_per_class) == (None, 7)


def test_phases_bring_the_classes_of_the_order() -> None:
    protocol = make_protocol("custom", 0, (3, 1, 0, 2), sizes=(1, 2))
    assert protocol.arriving(0) == (3,)
    assert protocol.arriving(1) == (1, 0)
    assert protocol.seen(1) == (3, 1, 0)


@pytest.mark.parametrize(
    ("text", "expected"), [("3,1,2", (3, 1, 2)), ("1993", seeded_order(5)), ("run", seeded_order(5, 8))]
)
def test_orders_as_people_write_them(text: str, expected: tuple[int, ...]) -> None:
    assert parse_order(text, 5, run_seed=8) == expected


def test_order_files(tmp_path: Path) -> None:
    path = tmp_path / "order.txt"
    for text in ("[2, 0, 1]", "2 0\n1\n", "2,0,1"):
        path.write_text(text)
        assert parse_order(str(path), 3, 0) == (2, 0, 1), text
    for text in ("2 zero 1", "[2, 0.5]", "[true]", "[2,"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="whole numbers"):
            parse_order(str(path), 3, 0)


def spec(method: str = "lucir", **facts: Any) -> RunSpec:
    return RunSpec("cifar100", make_protocol("b0", 5, HUNDRED), method, **facts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parse_order("4294967296", 3, 0), "seed of the class order is 4294967296: .* from 0 to 4294967295"),
        (lambda: parse_order("run", 3, -1), "seed of the class order is -1"),
        (lambda: parse_order("nowhere.txt", 3, 0), r"nowhere\.txt cannot be read"),
        (lambda: Protocol("custom", (2, 1), (7, 3, 7)), r"repeats class 7 \(again at place 2\)"),
        (lambda: Protocol("custom", (2, 3), (0, 1, 2)), "need 5 classes, the order has 3"),
        (lambda: Protocol("custom", (2, 0), (0, 1, 2)), "at least one new class"),
        (lambda: make_protocol("b50", 7, HUNDRED), "7 phases: choose one of 1, 2, 5, 10, 25, 50"),
        (lambda: make_protocol("b51", 5, HUNDRED), "unknown protocol 'b51'"),
        (lambda: spec(settings={"memory_total": 99}), "memory_total is 99 for 100 classes"),
        (lambda: spec("lucia"), "did you mean lucir"),
        (lambda: spec(label="../lucir"), "becomes a file name"),
    ],
)
def test_what_cannot_be_run_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
