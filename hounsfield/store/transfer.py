"""A product from one zone to another, file by file: no more of it than one is held at a time."""

from __future__ import annotations

from hounsfield.store.packed import Grouping, Pack, is_packed, unpacked, whole_files
from hounsfield.store.product import MANIFEST, UNPACKED
from hounsfield.store.zone import Zone

__all__ = ["transfer"]


def transfer(
    source: Zone,
    target: Zone,
    relative: str,
    *,
    pack: Grouping | None = None,
    recoding: bool = False,
) -> None:
    """Copies a product, and proves each file before it is read and after it is written.

    Done again after it was killed, it goes on at the file where it was; where the copy is there
    already, it only proves it.

    Parameters
    ----------
    pack
        Which object a file goes into, where the copy is to be packed; what is packed already is
        copied as it is. None: as files, unpacked where it was packed.
    recoding
        Whether pictures are recoded as they are packed.

    Raises
    ------
    IntegrityError
        A checksum differs. Of a copy that is not whole nothing is left.
    NotYet
        The product lies in an archive, and was asked for.
    """
    was_packed = is_packed(source.product(relative))
    manifest = source.read_file(relative, MANIFEST)
    with target.assembly(relative) as assembly:
        if pack is not None and not was_packed:
            packing = Pack(source, relative, pack, recoding=recoding)
            for file in packing.files(manifest):
                assembly.put(*file)
            assembly.seal(packing.manifest)
            return
        if was_packed and pack is None:
            manifest = source.read_file(relative, UNPACKED)
            files = unpacked(source, relative)
        else:
            files = whole_files(source, relative)
        for file in files:
            assembly.put(*file)
        assembly.seal(manifest)
