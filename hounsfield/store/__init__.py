"""Trust zones and the products in them."""

from hounsfield.store.packed import Grouping
from hounsfield.store.product import Product, read_product, seal
from hounsfield.store.transfer import copy, mend, transfer
from hounsfield.store.zone import Zone

__all__ = ["Grouping", "Product", "Zone", "copy", "mend", "read_product", "seal", "transfer"]
