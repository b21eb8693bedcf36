"""Fixtures of the end-to-end tests: one small bundle for all, and a deployment for each test."""

from pathlib import Path

import pytest

from export.runtime.bundle import Bundle
from streams.local import LocalServices
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def deployment(services: LocalServices, bundle: Bundle, tmp_path: Path) -> Deployment:
    return Deployment(services, bundle, tmp_path)
