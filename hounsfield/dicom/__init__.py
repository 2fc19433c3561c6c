"""DICOM files as they come: reading, geometry, codecs, attributes.

Importing this package makes pydicom lenient and silent. Lenient, since a clinical archive is
full of values that bend the Standard, and an odd value is a finding of validation, not a
reason to lose a file. Silent, since pydicom's warnings and log lines quote the values that
they complain about, and those may name a patient; what matters of them comes back as an
error of :mod:`hounsfield.errors`, which quotes nothing.
"""

from __future__ import annotations

import logging
import warnings

from pydicom import config

__all__: list[str] = []

config.settings.reading_validation_mode = config.IGNORE
# A value of the wrong length (a float of 3 bytes) stays readable, as unknown bytes.
config.convert_wrong_length_to_UN = True
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom\.")
