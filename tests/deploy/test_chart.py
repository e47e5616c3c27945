"""The Helm chart, rendered by Helm itself (its Go library, in the wheel `helm-python-sdk`), judged by Kubernetes' schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from autonomousai.config import Config, check_exposure, parse_config
from tests.deploy.options import check_command

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/autonomousai"

#: The oldest that the chart is for, and the newest that there are schemas of.
VERSIONS = ("1.26", kubernetes_validate.latest_version())

EVERYTHING: dict[str, Any] = {
    "state": "redis://redis:6379/0",
    "workers": 4,
    "hosts": ["ai.example.org"],
    "env": [{"name": "OTEL_SERVICE_NAME", "value": "ai"}],
    "imagePullSecrets": [{"name": "registry"}],
    "service": {"annotations": {"example.org/a": "b"}},
    "autoscaling": {"enabled": True, "requestsInFlight": 200},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"example.org/c": "d"},
    "podLabels": {"team": "ai"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
}
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "a config in a Secret": {"existingConfigSecret": "mine", "podDisruptionBudget": {"enabled": False}},
    "no metrics key": {"serviceMonitor": {"enabled": True, "keySecret": None}},
}


def render(values: dict[str, Any], name: str = "demo") -> dict[str, dict[str, Any]]:
    """The objects of a release, by their kinds."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name=name, namespace="prod")
    objects = [document for name, text in files.items() if name.endswith(".yaml") for document in yaml.safe_load_all(text)]
    return {each["kind"]: each for each in objects if each}


def container(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (found,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def config_of(objects: dict[str, dict[str, Any]]) -> Config:
    """The config as a pod reads it: its variables are those that the Deployment sets."""
    given = {each["name"]: "a-secret" for each in container(objects)["env"]}
    return parse_config(objects["ConfigMap"]["data"]["config.toml"], given)


def test_helm_finds_nothing_to_complain_about() -> None:
    """But that the chart has no icon."""
    found = helm.lint(CHART, strict=True)

    assert [] == found["errors"]
    assert ["icon is recommended"] == [each["error"] for each in found["messages"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_kubernetes_takes_every_object(values: dict[str, Any], version: str) -> None:
    """Strictly: a field that it does not know is an error. The ServiceMonitor is another program's, and has no schema here."""
    objects = render(values)
    objects.pop("ServiceMonitor", None)

    assert {"Deployment", "Service"} <= set(objects)
    for each in objects.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_a_wrong_object_is_not_taken() -> None:
    """The judge can condemn."""
    deployment = render({})["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_server_takes_its_config_and_its_options(values: dict[str, Any]) -> None:
    """What is mounted loads, asks for a key, listens where the probes look, and is what the arguments name."""
    objects = render(values)
    config, pod = config_of(objects), container(objects)
    (port,) = pod["ports"]
    (mount,) = [each for each in pod["volumeMounts"] if each["name"] == "config"]

    check_command(["autonomousai", *pod["args"]])
    check_exposure(config.server, config.keys)
    assert config.served()
    assert ("0.0.0.0", port["containerPort"]) == (config.server.host, config.server.port)
    assert f"{mount['mountPath']}/config.toml" == pod["args"][pod["args"].index("--config") + 1]
    assert objects["Service"]["metadata"]["name"] in config.server.allowed_hosts
    assert set(values.get("hosts", [])) <= set(config.server.allowed_hosts)
    assert values.get("state", "memory:") == config.server.state


@pytest.mark.parametrize("values", [{}, {"drainSeconds": 300, "preStopSeconds": 20}], ids=["defaults", "longer"])
def test_answers_may_end_before_a_pod_is_killed(values: dict[str, Any]) -> None:
    """Kubernetes waits for the Service, for the drain, and for ten seconds more."""
    objects = render(values)
    pause = int(container(objects)["lifecycle"]["preStop"]["exec"]["command"][1])
    patience = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert values.get("drainSeconds", 30) == config_of(objects).server.drain_s
    assert patience >= pause + config_of(objects).server.drain_s + 10


def test_all_objects_mean_the_same_pods() -> None:
    """The Service, the budget, the autoscaler and the monitor find the Deployment's pods, and name its port."""
    objects = render(EVERYTHING)
    template = objects["Deployment"]["spec"]["template"]
    selectors = [
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    (port,) = objects["Service"]["spec"]["ports"]
    (endpoint,) = objects["ServiceMonitor"]["spec"]["endpoints"]
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]

    assert all(selector.items() <= template["metadata"]["labels"].items() for selector in selectors)
    assert (
        objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= objects["Service"]["metadata"]["labels"].items()
    )
    assert [port["targetPort"]] == [each["name"] for each in container(objects)["ports"]]
    assert port["name"] == endpoint["port"]
    assert (objects["Deployment"]["kind"], objects["Deployment"]["metadata"]["name"]) == (target["kind"], target["name"])


def test_what_is_watched_is_there() -> None:
    """The paths of the probes and of the monitor are in the API's description, and the autoscaler's metric in the docs."""
    objects = render(EVERYTHING)
    probes = [container(objects)[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    (monitored,) = [each["path"] for each in objects["ServiceMonitor"]["spec"]["endpoints"]]
    metric, cpu = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    reference = (ROOT / "docs/reference/http.md").read_text(encoding="utf-8")

    assert ["/healthz", "/healthz", "/readyz"] == probes
    assert all(f"`GET {path}`" in reference for path in [*probes, monitored])
    assert f"`{metric['pods']['metric']['name']}`" in (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    assert "cpu" == cpu["resource"]["name"]
    assert "replicas" not in objects["Deployment"]["spec"], "the autoscaler's"


def test_another_config_makes_other_pods() -> None:
    """The Deployment changes with it."""
    one, other = (render({"drainSeconds": seconds})["Deployment"]["spec"]["template"]["metadata"] for seconds in (30, 31))

    assert one["annotations"] != other["annotations"]


def test_no_object_holds_a_secret() -> None:
    """Keys come from Secrets that exist already, and no pod may do more than it must."""
    objects = render(EVERYTHING)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (key,) = [each for each in container(objects)["env"] if "valueFrom" in each]

    assert "Secret" not in objects
    assert {"secretKeyRef": {"name": "autonomousai", "key": "api-key"}} == key["valueFrom"]
    assert (True, 10001) == (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"])
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container(objects)["securityContext"]


def test_a_config_in_a_secret_replaces_the_other() -> None:
    """For one that holds a password."""
    objects = render({"existingConfigSecret": "mine"})
    volumes = {each["name"]: each for each in objects["Deployment"]["spec"]["template"]["spec"]["volumes"]}

    assert "ConfigMap" not in objects
    assert {"secretName": "mine"} == volumes["config"]["secret"]


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"replicas": "two"},
        {"workers": 2},
        {"state": "redis"},
        {"service": {"port": 0}},
        {"service": {"kind": "ClusterIP"}},
        {"secretEnv": [{"name": "KEY"}]},
        {"secretEnv": [{"name": "A KEY", "secret": "s", "key": "k"}]},
        {"autoscaling": {"enabled": True, "cpu": 0}},
        {"drainSeconds": -1},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    """By the chart's schema, before anything is made."""
    with pytest.raises(helm.HelmError):
        render(values)


def test_the_versions_agree() -> None:
    """The chart installs the package of this tree."""
    from autonomousai import __version__  # noqa: PLC0415  beside what it is for

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (__version__, __version__) == (chart["version"], chart["appVersion"])
    assert json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["additionalProperties"] is False


def test_the_values_of_the_guide_are_taken() -> None:
    """They render, and their config can be served."""
    page = (ROOT / "docs/guides/kubernetes.md").read_text(encoding="utf-8")
    values = yaml.safe_load(page.partition('```yaml title="values.yaml"\n')[2].partition("```")[0])
    objects = render(values, "ai")

    for each in objects.values():
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    assert config_of(objects).served()
    assert 120 == config_of(objects).server.drain_s
    assert {"ai.example.org", "ai-autonomousai"} <= set(config_of(objects).server.allowed_hosts)
