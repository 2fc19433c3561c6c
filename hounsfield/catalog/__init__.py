"""The catalog: the searchable control plane, free of PHI."""

from hounsfield.catalog.catalog import Catalog
from hounsfield.catalog.database import open_engine, up_to_date, upgrade

__all__ = ["Catalog", "open_engine", "up_to_date", "upgrade"]
