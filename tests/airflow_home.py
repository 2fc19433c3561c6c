"""A home for Airflow that is not the user's: importing this comes before importing Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "AIRFLOW_HOME" not in os.environ:
    # Airflow writes its configuration there at its first import.
    home = Path(tempfile.mkdtemp(prefix="hounsfield-airflow-"))
    os.environ["AIRFLOW_HOME"] = str(home)
    atexit.register(shutil.rmtree, home, ignore_errors=True)
