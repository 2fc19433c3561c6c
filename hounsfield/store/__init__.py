"""Trust zones and the products in them."""

from hounsfield.store.product import Product, read_product, seal
from hounsfield.store.zone import Zone

__all__ = ["Product", "Zone", "read_product", "seal"]
