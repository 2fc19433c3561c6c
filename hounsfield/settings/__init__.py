"""Settings: YAML under configs/, parsed once into frozen objects. Unknown keys are refused.

Values may name environment variables, ``${NAME}`` or ``${NAME:-default}``, so that one file
serves a laptop and a hospital. Secrets are never in these files: the project key comes from
``HOUNSFIELD_PROJECT_KEY`` or a file outside the repository.
"""

from hounsfield.settings.drift import DriftSettings
from hounsfield.settings.fields import one_spelling
from hounsfield.settings.files import Frozen, configs_folder, load_yaml, parse
from hounsfield.settings.installation import Settings
from hounsfield.settings.receiver import CommitmentSettings, ReceiverSettings
from hounsfield.settings.site import IN_REGION, StoreSettings, VolumeSettings, Zone
from hounsfield.settings.sources import DestinationSettings, Reached, SourceSettings
from hounsfield.settings.tiers import Tier, TierRule, TierSettings

__all__ = [
    "IN_REGION",
    "CommitmentSettings",
    "DestinationSettings",
    "DriftSettings",
    "Frozen",
    "Reached",
    "ReceiverSettings",
    "Settings",
    "SourceSettings",
    "StoreSettings",
    "Tier",
    "TierRule",
    "TierSettings",
    "VolumeSettings",
    "Zone",
    "configs_folder",
    "load_yaml",
    "one_spelling",
    "parse",
]
