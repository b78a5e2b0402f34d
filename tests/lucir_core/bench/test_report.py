"""The page of results: what it shows beside the published figures, and what it calls not run."""

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handlers.setting_values import assignments
from lucir_core.bench.class_order import named_orders
from lucir_core.bench.pages.published import published_tables
from lucir_core.bench.pages.results_page import write_report
from lucir_core.bench.result_file import read_json, write_json
from lucir_core.bench.suite import load_suite, suite_names
from lucir_core.config.phase_config import config_from_dict, load_preset
from lucir_core.errors import ConfigError, StateError
from tests.lucir_core.bench.conftest import Write, line_of


def test_an_empty_page_says_what_was_not_run(tmp_path: Path) -> None:
    page = write_report(tmp_path).read_text()
    assert page.count("### ") == 1 + 6 + 5
    assert line_of(page, "| **ours: lucir, CNN**").count("not run") == 6
    assert line_of(page, "| LUCIR-CNN") == (
        "| LUCIR-CNN | (62.34) | - | 63.42 | 60.18 | - | - | Hou et al. 2019, Figs. 5 and 9 "
        "(averages as quoted by PODNet Table 1) [transcription] |"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "report.md"]


def test_own_runs_stand_in_their_column_with_their_spread(write: Write, tmp_path: Path) -> None:
    write(0.62, seed=1)
    write(0.64, seed=2)
    line = line_of(write_report(tmp_path).read_text(), "| **ours: lucir, CNN**")
    assert "| not run | not run | 63.00 ± 1.41 (63.00) | not run | not run | not run | this page, seeds: 2 |" in line
    with Image.open(tmp_path / "accuracy-cifar100-b50-5.png") as figure:
        figure.verify()


def test_each_published_figure_has_its_difference(write: Write, tmp_path: Path) -> None:
    write(0.65)
    write(0.70, "bic", "b0", 10, seed=1)
    write(0.72, "bic", "b0", 10, seed=2)
    page = write_report(tmp_path).read_text()
    lines = [line for line in page.splitlines() if line.startswith("| b50-5, resnet32 | LUCIR-CNN | 63.42 (average) |")]
    assert [line.split(" | ")[3:5] for line in lines] == [["65.00", "+1.58"]]
    later = line_of(page, "| b0-10, resnet32 | BiC | 63.50 (average without the first step) |")
    assert later.split(" | ")[3:5] == ["71.00 ± 1.41", "+7.50"]
    assert line_of(page, "| b50-10, resnet32 | LUCIR-CNN").split(" | ")[3] == "not run"


def test_every_line_has_the_command_that_makes_it_again(write: Write, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"settings": {"less_forget": False, "milestones": [2, 3]}, "label": "plain"}
    write(0.6, seed=3, **facts)
    write(0.6, seed=5, **facts)
    write(0.6, "bic", "scaled", seed=3)
    write(0.6, "bic", "scaled", seed=4)
    page = write_report(tmp_path).read_text()
    assert (
        "    for seed in 3 5; do lucir bench cifar100 --data PATH --output DIR --protocol b50 --phases 5 --method "
        "lucir --label plain --set less_forget=false --set 'milestones=[2, 3]' --seed $seed; done" in page
    )
    assert "--protocol scaled --phases 2 --method bic --seed 3 --seeds 2" in page


def test_what_a_preset_has_changed_since_stands_in_the_command(write: Write, tmp_path: Path) -> None:
    write(0.6, preset="cifar100_lucir_plus", label="lucir_plus")
    (path,) = tmp_path.glob("*.json")
    older = read_json(path)
    del older["config"]["lucir"], older["config"]["nme_transport"]  # as before there was boost
    older["config"]["augment"]["cutout"] = 8
    write_json(path, older)
    (command,) = [
        line for line in write_report(tmp_path).read_text().splitlines() if line.startswith("    lucir bench")
    ]
    words = shlex.split(command)
    changes = assignments([word for before, word in pairwise(words) if before == "--set"])
    again = load_preset("cifar100_lucir_plus", {**changes, "exemplars_per_class": 20})
    assert again == config_from_dict(older["config"])
    assert changes["lucir.boost.enabled"] is False


def test_changed_settings_are_not_compared_with_a_paper(write: Write, tmp_path: Path) -> None:
    write(0.9, settings={"epochs": 200})
    page = write_report(tmp_path).read_text()
    assert line_of(page, "| **ours: lucir, CNN**").count("not run") == 6
    assert "epochs = 200" in line_of(page, "| cifar100")


def test_the_scaled_ordering_is_judged_by_the_worst_seed(write: Write, tmp_path: Path) -> None:
    for method, shares in (("joint", (0.60, 0.62)), ("lucir", (0.5, 0.55)), ("icarl", (0.4, 0.52))):
        for seed, share in enumerate(shares):
            write(share, method, "scaled", seed=seed)
    page = write_report(tmp_path).read_text()
    assert line_of(page, "| lucir, CNN").endswith("| yes, by 5.00 | 10.00, 7.00 |")
    assert line_of(page, "| icarl, NME").endswith("| no: overlap of 2.00 | 10.00, 3.00 |")
    assert "not run" in line_of(page, "| finetune, CNN")
    assert "The runs of these methods took 18.0 minutes in total." in page


def test_a_run_is_compared_with_the_table_of_its_network(write: Write, tmp_path: Path) -> None:
    write(0.73, "der", label="der-resnet18_cifar", settings={"network": "resnet18_cifar"})
    write(0.66, "der")
    page = write_report(tmp_path).read_text()
    rows = [line for line in page.splitlines() if line.startswith("| **ours: der**")]
    assert [row.count("73.00 (73.00)") for row in rows] == [0, 0, 0, 1]
    assert [row.count("66.00 (66.00)") for row in rows] == [1, 0, 0, 0]


def test_other_methods_of_the_scaled_protocol_stand_below_with_their_settings(write: Write, tmp_path: Path) -> None:
    write(0.5, protocol="scaled")
    write(0.6, protocol="scaled", preset="cifar100_lucir_plus", settings={"initial_epochs": 20})
    write(0.4, "bic", protocol="scaled")
    page = write_report(tmp_path).read_text()
    table = page[page.index("### Every method on it") :].splitlines()[4:7]
    assert [line.split(" | ")[:3] for line in table] == [
        ["| lucir_plus", "initial_epochs = 20", "60.00"],
        ["| lucir", "preset", "50.00"],
        ["| bic", "preset", "40.00"],
    ]


def test_a_result_from_before_a_setting_existed_has_its_default(write: Write, tmp_path: Path) -> None:
    write(0.6, seed=1)
    write(0.6, seed=2)
    path = tmp_path / "cifar100.b50-5.lucir.1.json"
    older = read_json(path)
    del older["config"]["augment"]["cutout"]
    write_json(path, older)
    assert "seeds: 2 |" in line_of(write_report(tmp_path).read_text(), "| **ours: lucir, CNN**")
    older["config"]["from the future"] = 1
    write_json(path, older)
    with pytest.raises(ConfigError, match="from the future"):
        write_report(tmp_path)


def test_every_figure_of_the_paper(write: Write, tmp_path: Path) -> None:
    write(0.6, studies=("components", "exemplars", "lambda"))
    write(0.5, label="cn", settings={"less_forget": False}, studies=("components",))
    write(0.5, label="r5", settings={"exemplars_per_class": 5}, studies=("exemplars",))
    write(0.5, label="fixed", settings={"lambda_rule": "constant"}, studies=("lambda",))
    page = write_report(tmp_path, tmp_path / "page").read_text()
    drawn = sorted(path.name for path in (tmp_path / "page").glob("*.png"))
    names = ("accuracy", "components", "confusion", "exemplars", "lambda")
    assert drawn == [f"{name}-cifar100-b50-5.png" for name in names]
    assert all(name in page for name in drawn)


def test_published_figures_carry_source_and_trust() -> None:
    rows = [row for table in published_tables() for row in table.rows]
    assert {row.trust for row in rows} == {"read", "transcription", "recomputed"}
    assert all(row.source and row.figures for row in rows)
    for table in published_tables():
        assert all(set(row.figures) <= set(table.columns) for row in table.rows)
    (log,) = [row for row in rows if row.curve]
    assert log.curve is not None
    # The average of the six published numbers is the published 63.45.
    assert sum(log.curve[1]) / 6 == pytest.approx(63.45, abs=0.005)


def test_each_switch_has_its_gain_and_each_order_its_distance(write: Write, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"studies": ("plus",), "dataset": "cifar100-validation100"}
    for seed in (1, 2):
        write(0.60, seed=seed, **facts)
        write(0.63 + seed / 100, seed=seed, label="+boost", settings={"lucir.boost.enabled": True}, **facts)
    write(0.59, seed=1, label="+cbf", settings={"cbf.enabled": True}, **facts)
    for label, share in (("lucir-easiest", 0.7), ("lucir-hardest", 0.55)):
        write(share, label=label, studies=("orders",), order=named_orders(100)[label.removeprefix("lucir-")])
    page = write_report(tmp_path).read_text()
    part = page[page.index("## Beyond the paper") :].splitlines()
    lines = [line.split(" | ")[2::3][:2] for line in part if line.startswith("| cifar100-validation100 | b50-5")]
    assert lines == [["+boost", "+4.50"], ["lucir", ""], ["+cbf", "-1.00"]]
    assert line_of(page, "| b50-5 | lucir-easiest").endswith("| 15.00 |")
    assert "--order easiest" in page
    assert "bench cifar100 --data PATH --output DIR --validation 100 --protocol b50" in page
    # Validation images stand beside no published figure.
    assert line_of(page, "| **ours: lucir, CNN**").count("not run") == 6


def test_operations_stand_beside_the_time(write: Write, tmp_path: Path) -> None:
    write(0.6, seed=1)
    assert "| not counted |" in line_of(write_report(tmp_path).read_text(), "| cifar100")
    path = next(tmp_path.glob("*.json"))
    write_json(path, {**read_json(path), "flops": 3.8e15})
    assert "| 6.0 | 3.8 |" in line_of(write_report(tmp_path).read_text(), "| cifar100")


def test_results_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not a folder"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("name", suite_names())
def test_the_suites_of_the_package_are_sound(name: str) -> None:
    specs = load_suite(name).specs(100)
    assert len({spec.name for spec in specs}) == len(specs)
    assert {spec.seed for spec in specs} == {1993, 1994, 1995}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: []", "a list of runs"),
        ("{description: x, dataset: cifar100, seeds: [], runs: [RUN]}", "no seeds"),
        ("{description: x, dataset: cifar100, seeds: [1], runs: [{method: lucir, protokol: b50}]}", "protocol"),
        ("runs: [", "not YAML"),
        ("{description: x, dataset: cifar100, seeds: [1], runs: [RUN, RUN]}", "two runs called"),
    ],
)
def test_suites_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text.replace("RUN", "{method: lucir, protocol: b50}"))
    with pytest.raises(ConfigError, match=message):
        load_suite(str(path)).specs(100)
