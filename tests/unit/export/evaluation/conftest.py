"""A small bundle for the tests of offline evaluation, which only read it."""

import pytest

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle
from tests.support.random_log import ITEMS


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "one", items=ITEMS, width=16)


@pytest.fixture(scope="session")
def stepper(bundle: Bundle) -> Stepper:
    return Stepper(bundle)
