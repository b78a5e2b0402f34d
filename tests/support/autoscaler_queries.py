"""What replicas are scaled by: KEDA's query, and the rule of the Prometheus adapter in k8s/README.md."""

import re
from pathlib import Path

import yaml

OF_A_NAMESPACE = '{namespace="lucir",pod=~".+"}'
"""What the adapter asks for in place of its ``<<.LabelMatchers>>``."""


def autoscaler_queries(k8s: Path, matchers: str = "") -> dict[str, str]:
    """By name, as they are sent; ``matchers`` are those of the adapter."""
    scaled = yaml.safe_load((k8s / "components" / "keda" / "scaled-object.yaml").read_text())
    (trigger,) = scaled["spec"]["triggers"]
    rule = adapter_rule(k8s)
    query = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])
    query = query.replace("{<<.LabelMatchers>>}", matchers).replace("<<.GroupBy>>", "pod")
    assert "<<" not in query
    return {"KEDA": trigger["metadata"]["query"], "adapter": query}


def adapter_rule(k8s: Path) -> dict[str, str]:
    """The one rule; it makes the metric that ``components/busy`` scales by."""
    blocks = re.findall(r"```yaml\n(.*?)```", (k8s / "README.md").read_text(), re.DOTALL)
    ((rule,),) = [read["rules"] for block in blocks if "rules" in (read := yaml.safe_load(block))]
    scaling = yaml.safe_load((k8s / "components" / "busy" / "scaling.yaml").read_text())
    (metric,) = scaling["spec"]["metrics"]
    assert rule.pop("name") == {"as": metric["pods"]["metric"]["name"]}
    return rule
