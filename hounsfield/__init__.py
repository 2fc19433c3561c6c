"""The pipeline around a medical imaging model.

This package is the domain: DICOM in, evidence out. It has never heard of Airflow;
``operators/`` and ``dags/`` put it on a schedule.
"""

from importlib.metadata import version

__version__ = version("hounsfield")
