"""Every manifest is valid by the schema of its kind: of Kubernetes, KEDA, the Prometheus operator and Strimzi."""

from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.tools.docker import crds, manifests

KUBERNETES_VERSIONS = ("1.30", "1.37")  # the first release with preStop.sleep by default, and the newest with schemas
STRIMZI = "kafka.strimzi.io/v1"
PATTERNS, AUTHENTICATION = {"literal", "prefix"}, {"type": "scram-sha-512"}
OPERATIONS = {"Read", "Write", "Create", "Alter", "Describe", "DescribeConfigs"}


def own_kinds(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in resources if one["kind"] not in {*crds.FILES, "KafkaTopic", "KafkaUser"}]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_kubernetes_takes_every_resource_of_its_own(resources: list[dict[str, Any]], version: str) -> None:
    found = own_kinds(resources)
    assert found
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_of_kubernetes_refuse_a_field_that_they_do_not_name() -> None:
    resource = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError, match="port"):
        kubernetes_validate.validate(resource, KUBERNETES_VERSIONS[-1], strict=True)


@pytest.mark.skipif(crds.MAY_SKIP, reason=crds.REASON)
def test_operators_take_every_resource_of_theirs() -> None:
    if manifests.MAY_SKIP:
        pytest.skip(manifests.REASON)
    kinds = set()
    for one in manifests.of_kind(manifests.render("production"), *crds.FILES):
        kinds.add(one["kind"])
        jsonschema.validate(one, crds.schema(one["kind"], one["apiVersion"].rpartition("/")[2]))
    assert kinds == set(crds.FILES)


@pytest.mark.skipif(crds.MAY_SKIP, reason=crds.REASON)
def test_the_schemas_of_operators_refuse_a_field_that_they_do_not_name() -> None:
    resource = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {}, "spec": {"trigger": []}}
    with pytest.raises(jsonschema.ValidationError, match="trigger"):
        jsonschema.validate(resource, crds.schema("ScaledObject", "v1alpha1"))


def test_strimzi_knows_every_field(resources: list[dict[str, Any]]) -> None:
    """No registry has the schemas of Strimzi, so the test knows the fields of `kafka.strimzi.io/v1`."""
    for topic in manifests.of_kind(resources, "KafkaTopic"):
        assert topic["apiVersion"] == STRIMZI
        assert topic["metadata"]["labels"]["strimzi.io/cluster"] == "kafka"
        assert set(topic["spec"]) == {"partitions", "replicas", "config"}
        assert all(isinstance(topic["spec"][field], int) for field in ("partitions", "replicas"))
    for user in manifests.of_kind(resources, "KafkaUser"):
        assert user["apiVersion"] == STRIMZI
        assert user["metadata"]["labels"]["strimzi.io/cluster"] == "kafka"
        assert set(user["spec"]) == {"authentication", "authorization"}
        assert user["spec"]["authentication"] == AUTHENTICATION
        assert set(user["spec"]["authorization"]) == {"type", "acls"}
        assert user["spec"]["authorization"]["type"] == "simple"
        for acl in user["spec"]["authorization"]["acls"]:
            assert set(acl) == {"resource", "operations"}
            assert set(acl["resource"]) == {"type", "name", "patternType"}
            assert acl["resource"]["type"] in {"topic", "group", "transactionalId"}
            assert acl["resource"]["patternType"] in PATTERNS
            assert set(acl["operations"]) <= OPERATIONS
