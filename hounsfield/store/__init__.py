"""Trust zones and the products in them."""

from hounsfield.store.packed import Grouping
from hounsfield.store.product import Product, read_product, seal
from hounsfield.store.transfer import transfer
from hounsfield.store.zone import Zone

__all__ = ["Grouping", "Product", "Zone", "read_product", "seal", "transfer"]
