"""The commands that a page of results prints, read by the command line itself: they come to the runs of the page."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from handlers.cli.bench.bench_run import Carrying, FolderSource, Request
from handlers.cli.main import app
from lucir_core.bench.class_order import named_orders, seeded_order
from lucir_core.bench.datasets.dataset import VALIDATION
from lucir_core.bench.pages.commands import commands
from lucir_core.bench.pages.groups import grouped
from lucir_core.bench.protocol import make_protocol
from lucir_core.bench.result_file import read_results
from lucir_core.bench.spec import CIFAR, RunSpec
from lucir_core.bench.suite import load_suite, suite_names
from lucir_core.config.phase_config import config_from_dict
from lucir_core.methods import METHODS

COMMITTED = Path(__file__).parents[3] / "benchmarks"
LOOP = re.compile(r"for seed in ([\d ]+); do (.*) --seed \$seed; done")
FOLDER: dict[str, Any] = {"dataset": "pets", "preset": "photo_scratch"}
Read = Callable[[str], list[RunSpec]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The runs that the commands of a page would carry out; a folder has ten classes."""
    found: list[RunSpec] = []

    def take(name: str, data: Path, request: Request, _how: Carrying, source: FolderSource | None = None) -> None:
        dataset = name if source is None else data.name
        held_out = "" if request.validation is None else f"{VALIDATION}{request.validation}"
        found.extend(request.specs(dataset + held_out, CIFAR[name] if source is None else 10, source))

    monkeypatch.setattr("handlers.cli.bench.bench_run.run_protocol", take)

    def read_page(text: str) -> list[RunSpec]:
        for line in map(str.strip, text.splitlines()):
            loop = LOOP.fullmatch(line)
            lines = [f"{loop[2]} --seed {seed}" for seed in loop[1].split()] if loop else [line]
            for one in lines:
                program, *words = shlex.split(one)
                result = CliRunner().invoke(app, words, catch_exceptions=False)
                assert (program, result.exit_code) == ("lucir", 0), result.output
        return found

    return read_page


def page(specs: Sequence[RunSpec]) -> str:
    return commands(grouped([{**spec.identity(), **spec.notes(), "data": "digest"} for spec in specs]))


def by_name(specs: Sequence[RunSpec]) -> list[RunSpec]:
    return sorted(specs, key=lambda spec: spec.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", suite_names())
def test_every_run_of_the_suites(name: str, read: Read) -> None:
    specs = load_suite(name).specs(100)
    assert by_name(read(page(specs))) == by_name(specs)


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("protocol", ["b50", "b0", "scaled"])
def test_every_method_on_every_protocol(method: str, protocol: str, read: Read) -> None:
    specs = [RunSpec("cifar100", make_protocol(protocol, 5, seeded_order(100)), method, seed=seed) for seed in (1, 3)]
    assert by_name(read(page(specs))) == specs


@pytest.mark.parametrize(
    "facts",
    [
        {"settings": {"weight_decay": 1e-05, "margin": 2.5e-07, "milestones": [2, 3], "less_forget": False}},
        {"settings": {"memory_total": 2000, "exemplars_per_class": None}, "label": "lucir-total"},
        {"settings": {"cbf": {"enabled": True, "lr": 1e-05}}, "label": "nested"},
        {"preset": "cifar100_lucir_plus"},
        {"preset": "cifar100_lucir_plus", "label": "lucir"},
        {"preset": "photo_scratch"},
        {"label": "+cosine", "studies": ("plus", "components")},
        {"dataset": "cifar100-validation100"},
        {"dataset": "cifar10", "order": seeded_order(10)},
        {"order": seeded_order(100, 1)},
        {"order": seeded_order(100, 7)},
        {"order": named_orders(100)["hardest"]},
        {"order": (3, 1, 2, 0), "sizes": (2, 2)},
        {"order": seeded_order(4), "sizes": (2, 2)},
        {"sizes": (50, 20, 30), "images_per_class": 50},
        {"module": "my_methods.mine"},
        {"order": seeded_order(10), "reading": {"test_every": 5, "subset": None}, **FOLDER},
        {"order": seeded_order(10), "reading": {"test_every": 7, "subset": 10}, **FOLDER},
        {"order": seeded_order(10), "reading": {"test_every": 5, "subset": None}, **FOLDER, "dataset": "cifar100"},
        {"order": seeded_order(10), "reading": {"test_every": 5, "subset": None}, **FOLDER, "preset": "cifar100"},
    ],
)
def test_what_a_run_may_have(facts: dict[str, Any], read: Read) -> None:
    facts = dict(facts)
    sizes, order = facts.pop("sizes", None), facts.pop("order", seeded_order(100))
    protocol = make_protocol(
        "custom" if sizes else "b50", 5, order, sizes=sizes, images_per_class=facts.pop("images_per_class", None)
    )
    spec = RunSpec(**{"dataset": "cifar100", "protocol": protocol, "method": "lucir", "seed": 1, **facts})
    assert read(page([spec])) == [spec]


def test_seeds_with_orders_and_settings_of_their_own(read: Read) -> None:
    """One line of the page whose runs are not all made by the same command."""
    specs = [
        RunSpec("cifar100", make_protocol("b50", 5, seeded_order(100, order)), "lucir", settings=settings, seed=seed)
        for seed, order, settings in (
            (1, 1, {}),
            (2, 2, {}),
            (3, 1993, {}),
            (4, 1993, {"epochs": 160}),
            (1993, 1993, {}),
            (1995, 1993, {}),
        )
    ]
    text = page(specs)
    assert by_name(read(text)) == by_name(specs)
    assert "--order run --seed 1 --seeds 2" in text


@pytest.mark.parametrize("name", ["cifar100", "cifar100/validation", "scaled", "acceleration/off"])
def test_committed_runs(name: str, read: Read) -> None:
    """Presets have changed since: the settings come to those of the run."""
    results = read_results(COMMITTED / name)
    found = {spec.name: spec for spec in read(commands(grouped(results)))}
    assert len(found) == len(results)
    for result in results:
        title = f"{result['protocol']['name']}-{result['protocol']['phases']}"
        spec = found[f"{result['dataset']}.{title}.{result['label']}.{result['seed']}"]
        assert spec.config == config_from_dict(result["config"])
        assert list(spec.protocol.order) == result["protocol"]["order"]
        assert set(spec.studies) == set(result["studies"])
