"""The Grafana dashboards and their provisioning, as far as they can be judged without a Grafana."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

Panel = dict[str, Any]
COLUMNS = 24


DASHBOARDS = ("learning", "serving", "drops")


@pytest.fixture(scope="module", params=DASHBOARDS)
def dashboard(root: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads((root / "deploy" / "grafana" / "dashboards" / f"{request.param}.json").read_text())


def test_these_are_all(root: Path) -> None:
    assert {path.stem for path in (root / "deploy" / "grafana" / "dashboards").iterdir()} == set(DASHBOARDS)


def test_a_replica_is_never_hidden_behind_another(graphs: list[Panel]) -> None:
    """What servers do is shown for each: a maximum hides the one that lags. Sums and the worst are for one number."""
    for panel in graphs:
        if panel["type"] == "timeseries":
            for target in panel["targets"]:
                assert not re.match(r"(max|min|avg)\b", target["expr"]), panel["title"]


def test_every_variable_is_used_and_every_used_one_is_there(dashboard: dict[str, Any], graphs: list[Panel]) -> None:
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = " ".join(target["expr"] for panel in graphs for target in panel["targets"])
    assert set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"} == names
    assert names


@pytest.fixture(scope="module")
def graphs(dashboard: dict[str, Any]) -> list[Panel]:
    """The panels that show something: all but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def provisioning(root: Path) -> Path:
    return root / "deploy" / "grafana" / "provisioning"


def test_panel_ids_and_titles_are_unique(dashboard: dict[str, Any]) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in dashboard["panels"]]
        assert len(values) == len(set(values)), key


def test_no_panel_overlaps_another_or_leaves_the_grid(dashboard: dict[str, Any]) -> None:
    cells = []
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= COLUMNS, panel["title"]
        columns, rows = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        cells += itertools.product(columns, rows)
    assert len(cells) == len(set(cells))


def test_every_query_goes_to_the_provisioned_source(
    dashboard: dict[str, Any], graphs: list[Panel], provisioning: Path
) -> None:
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    users = [*graphs, *dashboard["annotations"]["list"], *(target for panel in graphs for target in panel["targets"])]
    assert all(user["datasource"] == wanted for user in users)


def test_every_panel_explains_itself_and_asks_something(graphs: list[Panel]) -> None:
    for panel in graphs:
        assert panel["description"].endswith("."), panel["title"]
        assert len(panel["description"].split()) > 6, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)), panel["title"]
        assert all(target["expr"].strip() and target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_provisioning_agrees_with_the_compose_file(compose: dict[str, Any], root: Path, provisioning: Path) -> None:
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.removesuffix(":ro").split(":") for volume in grafana["volumes"])
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "lucir.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert source["url"] == "http://prometheus:9090"
    assert set(grafana["networks"]) & set(compose["services"]["prometheus"]["networks"])
    scrape = yaml.safe_load((root / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
