"""Updates with noise: their bytes, their fields, and the settings."""

import argparse
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import kstest, norm

from encoder.errors import InputError
from export.runtime.bundle import Bundle
from streams.broker.decoding.noise_key import open_update_noise
from streams.commands.doctor.noise_checks import check_noise
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.contracts.privacy.update_noise import UpdateNoise
from streams.contracts.representation_updates import RepresentationUpdate, read_json_update
from streams.engine.outputs import OutputEncoder
from streams.engine.payload.update_encoders import update_encoder
from streams.monitor import command as monitor
from streams.monitor.frozen.comparison import FrozenComparison
from streams.serve.live.projection import project
from streams.serve.live.seen_users import SeenUsers
from tests.support.bundles import tiny_bundle
from tests.support.processing import ITEMS, WIDTH, MemoryStore, TinyBundle, feed, processor, record
from tests.support.stream.noisy_updates import Noise

KEY = bytes(range(100, 140))
ORIGIN = TinyBundle.initial_representation
LOG = [record(at, user, f"i{at % ITEMS + 1}", str(at), 50 + at) for at, user in enumerate("abcacbdda")]


def noise(**others: Any) -> UpdateNoise:
    values = {"epsilon": 4.0, "delta": 1e-6, "clip_norm": 1.5, "key": KEY} | others
    return UpdateNoise(**({"bundle_id": "gru-1", "origin": ORIGIN, "scoring_width": WIDTH} | values))


def encoder(format_name: str = "json", places: int = 0, bought_places: int = 0) -> OutputEncoder:
    encode = None if format_name == "json" else update_encoder(format_name, 7)
    return OutputEncoder("events", "gru-1", ITEMS, places, 1, bought_places, encode, noise=noise())


def vectors(n: int, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, width)).astype(np.float32)


def test_the_published_vector_is_the_one_of_the_page() -> None:
    origin, exact = vectors(1, 19)[0], vectors(30, 19)
    users, sources = [f"üser-{at}" for at in range(30)], [f"events-0-1-{at}" for at in range(30)]
    exact[:3] = origin  # nothing is clipped
    for epsilon, clip_norm in ((0.5, 2.0), (64.0, 0.25), (200.0, 7.0)):
        found = noise(origin=origin, scoring_width=16, epsilon=epsilon, clip_norm=clip_norm).published(
            users, sources, exact
        )
        alone = Noise(epsilon, 1e-6, clip_norm, KEY)
        for at in range(30):
            expected = alone.published("gru-1", users[at], sources[at], exact[at], origin, 16)
            assert found[at].astype("<f4").tobytes() == expected
        assert (found[:, 16:] == origin[16:]).all(), "components that count events tell nothing"


def test_the_noise_has_the_standard_deviation_of_the_guarantee() -> None:
    """delta is the integral of what one density exceeds exp(epsilon) times the other, at the largest distance."""
    n, made, origin = 20_000, noise(), np.zeros(WIDTH, np.float32)
    made = noise(origin=origin)
    exact = np.tile(np.array([9, 0, 0, 0], np.float32), (n, 1))
    found = made.published([f"u-{at}" for at in range(n)], ["events-0-0-1"] * n, exact)
    away = (found.astype(np.float64) - [1.5, 0, 0, 0]) / made.sigma
    assert kstest(away.ravel(), "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(away.T) - np.eye(WIDTH)).max() < 0.03
    x = np.linspace(-60, 60, 1_000_001) * made.sigma
    exceeds = np.maximum(0, norm.pdf(x, 3.0, made.sigma) - np.exp(4.0 + norm.logpdf(x, 0.0, made.sigma)))
    assert np.trapezoid(exceeds, x) == pytest.approx(1e-6, rel=1e-4)
    assert (found % made.step == 0).all(), "no last bit tells anything"
    assert made.step <= made.sigma / 1024


@pytest.mark.parametrize(
    "other",
    [
        {"key": KEY[::-1]},
        {"bundle_id": "gru-2"},
        {"epsilon": 4.5},
        {"delta": 1e-5},
        {"clip_norm": 1.6},
        {"user": "b"},
        {"source": "events-0-0-2"},
        {"last_bit": 1},
    ],
)
def test_another_release_has_independent_noise(other: dict[str, Any]) -> None:
    """Equal noise on two vectors would tell their difference, and equal noise of two scales the vector itself."""
    exact = np.full((1, WIDTH), 0.75, np.float32)
    first, made = noise(), noise(**{name: other[name] for name in other if name not in ("user", "source", "last_bit")})
    changed = np.nextafter(exact, np.float32(9)) if "last_bit" in other else exact
    z = [
        (found - exact) / one.sigma
        for one, found in (
            (first, first.published(["a"], ["events-0-0-1"], exact)),
            (made, made.published([other.get("user", "a")], [other.get("source", "events-0-0-1")], changed)),
        )
    ]
    assert (np.abs(z[0] - z[1]) > 1e-3).all()


@pytest.mark.parametrize("name", ["json", "avro", "protobuf", "json-schema"])
def test_a_replay_in_other_batches_publishes_the_same_bytes(name: str) -> None:
    once = feed(processor(), MemoryStore(), LOG, 1)
    values = {key: value for _, key, value in encoder(name).updates(once)}
    target, store = processor(), MemoryStore()
    feed(target, store, LOG[:7], 1)
    in_parts = {key: value for _, key, value in encoder(name).updates(feed(target, store, LOG[7:], 2))}
    assert in_parts == {key: values[key] for key in in_parts}
    assert len(in_parts) == 2
    replayed = feed(processor(), store, LOG, 3)  # a new process, whose rows are stored already
    assert replayed.rows.replayed.all()
    assert {key: value for _, key, value in encoder(name).updates(replayed)} == values
    assert (
        list(encoder(name).updates(feed(processor(), MemoryStore(), [record(0, "a", None, "", 0)], 1)))[-1][2] is None
    )


def test_an_update_tells_user_bundle_and_source_beside_the_noisy_vector() -> None:
    scored = feed(processor(), MemoryStore(), LOG, 1)
    plain = [read_json_update(value) for _, _, value in OutputEncoder("events", "gru-1", ITEMS, 0, 1).updates(scored)]
    hidden = [read_json_update(value) for _, _, value in encoder(places=1, bought_places=1).updates(scored)]
    for exact, found in zip(plain, hidden, strict=True):
        expected = Noise(4.0, 1e-6, 1.5, KEY).published(
            "gru-1", exact.user_id, exact.source, np.frombuffer(exact.representation, "<f4"), ORIGIN, WIDTH
        )
        assert found == RepresentationUpdate(exact.user_id, "gru-1", expected, 0, 0, exact.source)
        assert (exact.has_noise, found.has_noise) == (False, True)


def test_updates_without_the_settings_have_the_bytes_of_before() -> None:
    rows = feed(processor(), MemoryStore(), LOG, 1).rows.select(np.array([0]))
    plain = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    exact = np.array([[1, 2, -1, 0.5]], np.float32)
    assert list(plain.updates_of(rows, exact, exact)) == [
        (
            0,
            b"gru-1/a",
            b'{"user_id":"a","bundle_id":"gru-1","representation":"AACAPwAAAEAAAIC/AAAAPw==","steps":3,'
            b'"event_time_ms":58,"source":"events-0-0-8"}',
        )
    ]


def test_readers_of_exact_vectors_leave_noisy_ones_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", items=20, width=8)
    value = RepresentationUpdate(
        "ann", bundle.bundle_id, bundle.initial_representation.astype("<f4").tobytes(), 0, 0, "events-0-0-1"
    )
    with pytest.raises(ValueError, match="frozen representations need exact vectors"):
        FrozenComparison(bundle).update(value)
    seen = SeenUsers(bundle, project(bundle), 0)
    updated = seen.add_update(SimpleNamespace(value=msgspec.json.encode(value), timestamp=1, key=b""))
    assert updated == value, "the freshness is measured all the same"
    assert not seen.of("ann").places
    for name, one in {"EPSILON": "64", "DELTA": "1e-6", "CLIP_NORM": "3", "KEY": "noise.key"}.items():
        monkeypatch.setenv(f"THALWEG_UPDATES_NOISE_{name}", one)
    with pytest.raises(SettingsError, match="workers publish noisy ones: leave --bundle out"):
        monitor.run(argparse.Namespace(bundle=str(bundle.path)))


def noise_settings(key: Path, **others: str) -> Settings:
    values = {"EPSILON": "64", "DELTA": "1e-6", "CLIP_NORM": "3", "KEY": str(key)} | others
    return load_settings({f"THALWEG_UPDATES_NOISE_{name}": value for name, value in values.items() if value})


def test_the_settings_give_the_noise_and_the_doctor_tells_the_guarantee(tmp_path: Path) -> None:
    bundle, key = tiny_bundle(tmp_path / "bundle", items=20, width=8), tmp_path / "noise.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    assert open_update_noise(load_settings({}), bundle) is None
    assert not list(check_noise(load_settings({}), bundle))
    made = open_update_noise(noise_settings(key), bundle)
    assert made is not None
    sources, exact = ["events-0-0-1"], bundle.initial_representation[None]
    expected = Noise(64.0, 1e-6, 3.0, key.read_bytes()).published(
        bundle.bundle_id, "ann", *sources, exact[0], exact[0], bundle.scoring_width
    )
    assert made.published(["ann"], sources, exact)[0].astype("<f4").tobytes() == expected
    [finding] = check_noise(noise_settings(key), bundle)
    assert "400 of 10, 3,233 of 100, 29,876 of 1,000" in finding.detail  # as the table of docs/private-vectors.md
    assert f"in each of {bundle.scoring_width} components, clipped to 3" in finding.detail


@pytest.mark.parametrize("missing", ["EPSILON", "DELTA", "CLIP_NORM", "KEY"])
def test_a_part_of_the_settings_is_refused(missing: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"needs .*THALWEG_UPDATES_NOISE_{missing}\): set all settings"):
        noise_settings(tmp_path / "key", **{missing: ""})


@pytest.mark.parametrize(
    ("name", "value"), [("EPSILON", "0"), ("EPSILON", "inf"), ("DELTA", "0"), ("DELTA", "1"), ("CLIP_NORM", "nan")]
)
def test_numbers_without_a_meaning_are_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"THALWEG_UPDATES_NOISE_{name}"):
        noise_settings(tmp_path / "key", **{name: value})


def test_every_number_that_the_settings_allow_gives_a_noise() -> None:
    for epsilon in (1e-3, 1e6):
        for delta in (1e-100, 0.999):
            for clip_norm in (1e-6, 1e6):
                one = noise(epsilon=epsilon, delta=delta, clip_norm=clip_norm)
                assert np.isfinite(one.published(["a"], ["events-0-0-1"], vectors(1))).all()
    with pytest.raises(InputError):
        noise(epsilon=float("nan"))


def test_an_unfit_key_file_is_refused(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle: Bundle = tiny_bundle(tmp_path / "bundle", items=20, width=8)
    with pytest.raises(SettingsError, match=r"updates_noise_key .*there is no such file; make a key with"):
        open_update_noise(noise_settings(tmp_path / "none"), bundle)
