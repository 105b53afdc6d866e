"""What a kernel module says about itself: the .modinfo section of its ELF file."""

import lzma
import struct
import subprocess


def decompress(name: str, data: bytes) -> bytes:
    """The ELF file in a module file, by the ending of its name."""
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def modinfo(data: bytes) -> dict:
    """The key=value strings of a 64-bit little-endian module; a repeated key keeps its last value."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit ELF file")
    section_offset, = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)

    def section(index):
        return struct.unpack_from("<IIQQQQIIQQ", data, section_offset + index * entry_size)

    names_offset = section(names_index)[4]
    for index in range(count):
        name_at, _, _, _, offset, size, *_ = section(index)
        start = names_offset + name_at
        if data[start:data.index(b"\0", start)] != b".modinfo":
            continue
        pairs = (entry.partition(b"=") for entry in data[offset:offset + size].split(b"\0") if entry)
        return {key.decode(): value.decode("utf-8", "replace") for key, _, value in pairs}
    raise ValueError("no .modinfo section")
