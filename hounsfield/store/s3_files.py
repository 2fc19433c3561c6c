"""Files on S3, of which a server that does not answer is an error of ours.

Apart from the rest, since only who has a root on S3 has to wait for its import.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ConnectionError as NotConnected
from botocore.exceptions import HTTPClientError
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from hounsfield.errors import StoreUnavailable

__all__ = ["S3Files"]


class S3Files(S3FileSystem):  # type: ignore[misc]
    """As its base, but where that lets botocore's own errors pass, which are no OSErrors."""

    async def _call_s3(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._call_s3(method, *args, **kwargs)
        except (NotConnected, HTTPClientError) as error:
            what = f"the store does not answer ({type(error).__name__})"
            raise StoreUnavailable(what, where=str(kwargs.get("Bucket", ""))) from None

    call_s3 = sync_wrapper(_call_s3)
