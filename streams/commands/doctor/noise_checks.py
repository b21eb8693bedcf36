"""Says what the noise of updates guarantees, and why the noise cannot be had."""

from collections.abc import Iterator

from encoder.privacy.gaussian_mechanism import epsilon_of, mu_of, mu_of_releases
from export.runtime.bundle import Bundle
from streams.broker.decoding.noise_key import open_update_noise
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings

RELEASES = (10, 100, 1_000)


def check_noise(settings: Settings, bundle: Bundle) -> Iterator[Finding]:
    """Yields nothing where updates are exact. Raises SettingsError."""
    noise = open_update_noise(settings, bundle)
    epsilon, delta = settings.updates_noise_epsilon, settings.updates_noise_delta
    if noise is None or epsilon is None or delta is None:
        return
    mu = mu_of(epsilon, delta)
    together = [f"{epsilon_of(delta, mu_of_releases(mu, k)):,.0f} of {k:,}" for k in RELEASES]
    yield Finding(
        "ok",
        "updates noise",
        f"epsilon {epsilon:g} of one update with delta {delta:g}, and of several about a user: {', '.join(together)}; "
        f"standard deviation {noise.sigma:.4g} in each of {bundle.scoring_width} components, clipped to "
        f"{noise.clip_norm:g}",
    )
