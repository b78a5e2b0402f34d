"""Only a run with a published run's settings stands beside its figure, and nothing is called what it is not."""

import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lucir_core.bench.class_order import named_orders, seeded_order
from lucir_core.bench.pages.results_page import write_report
from lucir_core.bench.protocol import make_protocol
from lucir_core.bench.result_file import read_json, write_json
from lucir_core.bench.spec import RunSpec
from lucir_core.errors import ConfigError
from tests.lucir_core.bench.conftest import Write, line_of

COMMITTED = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def _unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together and not painted, which takes most of the time and is looked at in `test_report`."""
    monkeypatch.setattr(Figure, "savefig", lambda _, path: Path(path).touch())


@pytest.fixture
def legends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all lines that are drawn."""
    found: list[str] = []
    draw = Axes.plot

    def plot(self: Axes, *values: Any, **options: Any) -> Any:
        found.append(str(options.get("label")))
        return draw(self, *values, **options)

    monkeypatch.setattr(Axes, "plot", plot)
    return found


def beside(page: str, title: str) -> list[list[str]]:
    """The cells of our line in each published table."""
    start = f"| **ours: {title}** | "
    return [line.removeprefix(start).split(" | ") for line in page.splitlines() if line.startswith(start)]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"settings": {"epochs": 200, "milestones": [80, 120]}}, "epochs is 200, published 160"),
        ({"settings": {"network": "resnet8"}}, "network is resnet8, published resnet32"),
        ({"settings": {"memory_total": 2000}}, "memory_total is 2000, published -"),
        ({"settings": {"less_forget": False}, "label": "plain"}, "less_forget is False, published True"),
        ({"preset": "cifar100_bic", "settings": {"network": "resnet32"}}, "weight_decay is 0.0002, published 0.0005"),
        ({"order": named_orders(100)["easiest"]}, "another order of the classes"),
        ({"order": seeded_order(100, 7)}, "another order of the classes"),
        ({"settings": {"epochs": 200}, "studies": ("plus",)}, "epochs is 200"),
    ],
)
def test_a_run_that_is_not_the_published_one_is_told_apart(
    facts: dict[str, Any], words: str, write: Write, tmp_path: Path
) -> None:
    write(0.9, **facts)
    page = write_report(tmp_path).read_text()
    for title in ("lucir, CNN", "lucir, NME", "lucir_plus, CNN", "bic"):
        assert all(set(cells) <= {"not run", " |", "|"} for cells in beside(page, title)), title
    assert "+26.48" not in page
    part = page[page.index("### Runs that stand beside no published figure") :]
    assert words in line_of(part, "| cifar100 | b50-5")


@pytest.mark.parametrize(
    "facts",
    [
        {"settings": {"epochs": 160}},  # what the preset says anyway
        {"settings": {"network": "resnet32"}, "label": "lucir-again"},
        {"order": seeded_order(100, 5), "seed": 5},
    ],
)
def test_a_published_run_may_be_written_in_any_way(facts: dict[str, Any], write: Write, tmp_path: Path) -> None:
    write(0.65, **facts)
    page = write_report(tmp_path).read_text()
    assert beside(page, "lucir, CNN")[0][2] == "65.00 (65.00)"
    assert "| b50-5, resnet32 | LUCIR-CNN | 63.42 (average) | 65.00 | +1.58 |" in page
    assert "### Runs that stand beside no published figure\n\nNone.\n" in page


def test_other_phases_and_fewer_images_are_no_published_run(write: Write, tmp_path: Path) -> None:
    write(0.9)
    path = tmp_path / "cifar100.b50-5.lucir.1993.json"
    whole = read_json(path)
    for change in ({"images_per_class": 50}, {"phase_sizes": [60, 8, 8, 8, 8, 8]}):
        write_json(path, {**whole, "protocol": {**whole["protocol"], **change}})
        page = write_report(tmp_path).read_text()
        assert beside(page, "lucir, CNN")[0][2] == "not run", change
    write_json(path, {**whole, "reading": {"test_every": 5, "subset": None}})  # a folder that is called cifar100
    assert beside(write_report(tmp_path).read_text(), "lucir, CNN")[0][2] == "not run"


def test_der_from_scratch_is_its_papers_run(write: Write, tmp_path: Path) -> None:
    """170 epochs in each of equal steps; the 200 of its preset are those of half of the classes."""
    network = {"network": "resnet18_cifar"}
    write(0.75, "der", "b0", 10, settings=network, label="der-resnet18_cifar")
    write(0.76, "der", "b0", 5, settings={**network, "initial_epochs": 200}, label="der-resnet18_cifar")
    page = write_report(tmp_path).read_text()
    assert [cells[:3] for cells in beside(page, "der")][2] == ["not run", "75.00 (75.00)", "not run"]
    assert "initial_epochs is 200, published -" in line_of(page, "| cifar100 | b0-5 | der-resnet18_cifar")


def test_icarls_own_figures_stand_beside_its_own_loss(write: Write, tmp_path: Path) -> None:
    write(0.60, "icarl", "b0", 10)
    write(0.65, "icarl_original", "b0", 10)
    page = write_report(tmp_path).read_text()
    assert line_of(page, "| b0-10, resnet32 | iCaRL-NME | 64.10").split(" | ")[3:5] == ["65.00", "+0.90"]
    assert line_of(page, "| b0-10, resnet32 | iCaRL | 61.60").split(" | ")[3:5] == ["60.00", "-1.60"]
    assert "LwF.MC" not in page[page.index("### Reported, ours, difference") :]


@pytest.mark.parametrize(
    ("method", "preset", "label"),
    [
        ("lucir", "cifar100_bic", "lucir-bic"),
        ("icarl", "cifar100_icarl_original", "icarl-icarl_original"),
        ("finetune", "cifar100_icarl", "finetune-icarl"),
        ("bic", "cifar100", "bic-cifar100"),
        ("lucir", "cifar100_lucir_plus", "lucir_plus"),
        ("lucir", "", "lucir"),
    ],
)
def test_a_label_says_which_method_runs(method: str, preset: str, label: str, write: Write, tmp_path: Path) -> None:
    write(0.5, method, preset=preset)
    assert read_json(next(tmp_path.glob("*.json")))["label"] == label


@pytest.mark.parametrize("label", ["bic", "bic-r5", "icarl+cbf", "icarl_original", "lucir_plus"])
def test_a_label_that_names_another_method_is_refused(label: str, write: Write, tmp_path: Path) -> None:
    method = "finetune" if label == "lucir_plus" else "lucir"
    with pytest.raises(ConfigError, match=f"is the name of another method, and {method} would run"):
        write(0.5, method, label=label)
    write(0.5, method, label=f"{method}-{label}")
    path = next(tmp_path.glob("*.json"))
    write_json(path, {**read_json(path), "label": label})  # as earlier releases let it be written
    page = write_report(tmp_path).read_text()
    assert f"| {label} ({method}) |" in line_of(page, "| cifar100")


def test_a_figure_says_what_was_changed_of_a_method(write: Write, tmp_path: Path, legends: list[str]) -> None:
    write(0.5, protocol="scaled", settings={"less_forget": False})
    write(0.6, "icarl", protocol="scaled")
    write(0.7, "bic", protocol="scaled", preset="cifar100")
    write_report(tmp_path)
    assert {text.rpartition(":")[0] for text in legends if ":" in text} == {
        "lucir, CNN, other less_forget",
        "lucir, NME, other less_forget",
        "icarl, CNN",
        "icarl, NME",
    }


def test_the_published_log_is_drawn_beside_the_published_run_alone(
    write: Write, tmp_path: Path, legends: list[str]
) -> None:
    write(0.6)
    write_report(tmp_path)
    assert any("published log" in text for text in legends)
    legends.clear()
    next(tmp_path.glob("*.json")).unlink()
    write(0.6, "icarl")
    write_report(tmp_path)
    assert legends
    assert not any("published log" in text for text in legends)


def test_the_figure_over_memories_needs_several(write: Write, tmp_path: Path) -> None:
    write(0.6, studies=("exemplars",))
    write(0.5, "icarl", studies=("exemplars",))
    page = write_report(tmp_path).read_text()
    part = page[page.index("### Effect of the number of exemplars (Fig. 7b)") :].splitlines()
    assert part[2] == "not run"
    assert not list(tmp_path.glob("exemplars-*.png"))
    write(0.55, studies=("exemplars",), label="lucir-total", settings={"memory_total": 2000})  # not a size per class
    write_report(tmp_path)
    assert not list(tmp_path.glob("exemplars-*.png"))
    write(0.4, "icarl", studies=("exemplars",), label="icarl-r5", settings={"exemplars_per_class": 5})
    write_report(tmp_path)
    assert [path.name for path in tmp_path.glob("exemplars-*.png")] == ["exemplars-cifar100-b50-5.png"]


def test_what_is_missing_is_a_dash(write: Write, tmp_path: Path) -> None:
    """A run without nearest means, gains without a seed in common, and a single phase without old classes."""
    write(0.6, seed=1, studies=("plus",))
    write(0.7, seed=2, label="+cbf", settings={"cbf.enabled": True}, studies=("plus",))
    write(0.5, protocol="scaled")
    (path,) = tmp_path.glob("*scaled*.json")
    facts = read_json(path)
    facts["nme"] |= {"average": math.nan, "last": None, "forgetting": None}
    facts["phases"][-1]["cnn"]["old"] = None
    write_json(path, facts)
    page = write_report(tmp_path).read_text()
    assert "nan" not in page.lower()
    assert "None |" not in page
    gains = page[page.index("## Beyond the paper") : page.index("## Orders")]
    assert line_of(gains, "| cifar100 | b50-5 | +cbf").endswith("| 70.00 | - | 70.00 | - |")
    assert "| lucir | preset | 50.00 | - | 50.00 | - | 50.00 | 10.00 |" in page


def test_studies_are_known_by_name() -> None:
    with pytest.raises(ConfigError, match="did you mean components"):
        RunSpec("cifar100", make_protocol("b50", 5, seeded_order(100)), "lucir", studies=("component",))


@pytest.mark.parametrize("name", ["cifar100", "scaled"])
def test_the_committed_pages_are_those_of_the_committed_results(name: str, tmp_path: Path) -> None:
    folder = COMMITTED / name
    page = write_report(folder, tmp_path)
    assert page.read_text(encoding="utf-8") == (folder / page.name).read_text(encoding="utf-8"), (
        f"lucir bench report benchmarks/{name} renders another page: commit that"
    )
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {path.name for path in folder.glob("*.png")}
