"""Opens the noise of updates that the settings name."""

from export.runtime.bundle import Bundle
from streams.config.key_file import read_key_file
from streams.config.setting_checks import check_updates_noise
from streams.config.settings import Settings
from streams.contracts.privacy.update_noise import UpdateNoise


def open_update_noise(settings: Settings, bundle: Bundle) -> UpdateNoise | None:
    """The noise of the bundle's updates; None where updates are exact.

    Raises SettingsError for an unfit key file, and where only some of the settings of the noise are set.
    """
    check_updates_noise(settings)
    epsilon, delta = settings.updates_noise_epsilon, settings.updates_noise_delta
    clip_norm, key = settings.updates_noise_clip_norm, settings.updates_noise_key
    if epsilon is None or delta is None or clip_norm is None or key is None:
        return None
    return UpdateNoise(
        bundle.bundle_id,
        bundle.initial_representation,
        bundle.scoring_width,
        epsilon,
        delta,
        clip_norm,
        read_key_file("updates_noise_key", key),
    )
