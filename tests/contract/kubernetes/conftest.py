"""The overlays of docker/kubernetes as kustomize renders them."""

from typing import Any

import pytest

from tests.tools.docker import manifests


@pytest.fixture(scope="package", params=manifests.OVERLAYS)
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Return everything that an overlay makes."""
    if manifests.MAY_SKIP:
        pytest.skip(manifests.REASON)
    return manifests.render(request.param)
