"""Clipped vectors and the noise that a key determines."""

import numpy as np
import pytest
from scipy.stats import kstest

from encoder.errors import InputError
from encoder.privacy.noisy_vectors import clipped, private_vectors, standard_noise

KEY = bytes(range(32))


def test_only_vectors_above_the_bound_are_shortened() -> None:
    vectors = np.array([[3, 4], [0.3, 0.4], [0, 0]], np.float32)
    np.testing.assert_allclose(clipped(vectors, 2.0), [[1.2, 1.6], [0.3, 0.4], [0, 0]], rtol=1e-6)


def test_the_noise_is_normal_and_independent() -> None:
    noise = standard_noise(KEY, [f"release-{at}".encode() for at in range(4_000)], 19)
    assert noise.shape == (4_000, 19)
    assert kstest(noise.ravel(), "norm").pvalue > 0.001
    correlation = np.corrcoef(noise.T) - np.eye(19)
    assert np.abs(correlation).max() < 0.07
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02


def test_the_same_key_and_release_give_the_same_vector() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    names = [b"a", b"b", b"c"]
    found = private_vectors(vectors, 1.0, 0.5, KEY, names)
    np.testing.assert_array_equal(private_vectors(vectors[1:2], 1.0, 0.5, KEY, names[1:2]), found[1:2])
    assert (private_vectors(vectors, 1.0, 0.5, KEY, [b"d", b"e", b"f"]) != found).all()
    assert (private_vectors(vectors, 1.0, 0.5, KEY[::-1], names) != found).all()


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputError, match="a key of 8 bytes"):
        standard_noise(b"too-weak", [b"a"], 3)
