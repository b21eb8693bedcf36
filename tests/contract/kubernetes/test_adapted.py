"""The overlays after an operator has adapted them: a registry with a port, a group with hyphens, links of alerts."""

import shutil
from pathlib import Path

import pytest

from tests.tools.docker import manifests
from tests.tools.docker.manifests import containers, named, of_kind

REGISTRY = "registry.local:5000"
GROUP = "shop-eu-west"
RUNBOOK = "https://git.example.com:8443/shop/thalweg/blob/main/docs/runbook.md"

pytestmark = pytest.mark.skipif(manifests.MAY_SKIP, reason=manifests.REASON)


def adapted(folder: Path, old: str, new: str, *files: str) -> Path:
    """Return the folder of overlays, in which `old` is replaced in these files."""
    shutil.copytree(manifests.KUBERNETES, folder)
    for name in files:
        text = (folder / name).read_text()
        assert old in text, name
        (folder / name).write_text(text.replace(old, new))
    return folder / "overlays"


@pytest.mark.parametrize("overlay", manifests.OVERLAYS)
def test_the_name_of_a_registry_may_hold_a_port(overlay: str, tmp_path: Path) -> None:
    paths = sorted(manifests.KUBERNETES.glob("overlays/*/kustomization.yaml"))
    files = [
        path.relative_to(manifests.KUBERNETES).as_posix()
        for path in paths
        if "registry.example.com" in path.read_text()
    ]
    overlays = adapted(tmp_path / "kubernetes", "registry.example.com", REGISTRY, *files)
    wanted = [
        one.spec["image"].replace("registry.example.com", REGISTRY) for one in containers(manifests.render(overlay))
    ]
    found = [one.spec["image"] for one in containers(manifests.render_folder(overlays / overlay))]
    assert found == wanted
    assert all(image.startswith(f"{REGISTRY}/thalweg") for image in found)


@pytest.mark.parametrize("overlay", ["production", "trial"])
def test_keda_watches_the_group_of_the_settings(overlay: str, tmp_path: Path) -> None:
    overlays = adapted(
        tmp_path / "kubernetes", "THALWEG_GROUP=thalweg", f"THALWEG_GROUP={GROUP}", "settings/settings.env"
    )
    resources = manifests.render_folder(overlays / overlay)
    (trigger,) = named(resources, "ScaledObject", "thalweg-worker")["spec"]["triggers"]
    bundle_id = named(resources, "ConfigMap", "thalweg-bundle")["data"]["id"]
    assert trigger["metadata"]["consumerGroup"] == f"{GROUP}-{bundle_id}"


@pytest.mark.parametrize("overlay", ["production", "trial"])
def test_one_value_turns_the_links_of_alerts_into_addresses(overlay: str, tmp_path: Path) -> None:
    overlays = adapted(tmp_path / "kubernetes", "docs/runbook.md", RUNBOOK, "components/monitoring/runbook.yaml")
    resources = manifests.render_folder(overlays / overlay)
    (rules,) = of_kind(resources, "PrometheusRule")
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"
    assert not [one for one in of_kind(resources, "ConfigMap") if one["metadata"]["name"] == "thalweg-runbook"]
