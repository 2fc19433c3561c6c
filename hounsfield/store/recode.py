"""An uncompressed DICOM file as JPEG-LS lossless, from which its bytes can be made again.

What is written is a DICOM file that any viewer reads (transfer syntax 1.2.840.10008.1.2.4.80,
PS3.5 Section A.4.3), and beside it all bytes of the original but its pixel data. Both together
are the original, byte for byte: that is proven before anybody lets go of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hounsfield.errors import IntegrityError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Recoded", "recode"]

_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"  # in little endian
_JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
_PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True, slots=True)
class Recoded:
    """What the bytes of a file are made again from.

    Attributes
    ----------
    picture
        The DICOM file in JPEG-LS.
    rest
        The original without its pixel data.
    offset
        In `rest`, where the pixel data belong, in bytes.
    """

    picture: bytes
    rest: bytes
    offset: int

    def original(self) -> bytes:
        """The bytes that it was made from.

        Raises
        ------
        IntegrityError
            The picture does not decode.
        """
        from pydicom import dcmread  # Who opens a zone needs no pydicom, but for this.

        try:
            pixels = _decoded(dcmread(BytesIO(self.picture)))
        except Exception:  # codecs raise whatever the bytes lead them to
            raise IntegrityError(
                "a picture in JPEG-LS cannot be decoded any more",
                remedy="restore the object from another copy",
            ) from None
        return self.rest[: self.offset] + pixels + self.rest[self.offset :]


def recode(path: Path) -> Recoded | None:
    """A file in JPEG-LS; None where its bytes could not be made again from that.

    Such are files that are compressed already, without a picture, and those whose pixel data hold
    more than the picture: bits above BitsStored, planes, or bytes behind the last frame.
    """
    content = path.read_bytes()
    try:
        made = _recoded(content)
        return made if made is not None and made.original() == content else None
    except Exception:  # Whatever it was: the original is kept.
        return None


def _recoded(content: bytes) -> Recoded | None:
    from pydicom import dcmread

    dataset = dcmread(BytesIO(content))
    is_native = dataset.file_meta.TransferSyntaxUID in (_IMPLICIT, _EXPLICIT)
    if not is_native or _PIXEL_DATA not in dataset:
        return None
    element = dataset.get_item(_PIXEL_DATA)
    offset, pixels = element.value_tell, element.value
    dataset.compress(_JPEG_LS_LOSSLESS, generate_instance_uid=False, encoding_plugin="pyjpegls")
    picture = BytesIO()
    dataset.save_as(picture, enforce_file_format=True)
    rest = content[:offset] + content[offset + len(pixels) :]
    return Recoded(picture.getvalue(), rest, offset)


def _decoded(dataset: Dataset) -> bytes:
    from pydicom.pixels import get_decoder

    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    array, _ = decoder.as_array(dataset, raw=True, decoding_plugin="pyjpegls")
    pixels = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return pixels + b"\0" * (len(pixels) % 2)  # of even length (PS3.5 Section 8.1.1)
