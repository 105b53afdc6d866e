"""Guests with many more processes than the workload's."""

import dataclasses

from . import initramfs
from .config import GuestConfig


def crowded(config: GuestConfig, processes: int) -> GuestConfig:
    """The same guest with so many more processes: started by a program that runs before /init. Nothing that other guests are made of
    changes. Without a disk for the truth: it would hold them all."""
    return dataclasses.replace(
        config, truth_mib=0, append=f"{config.append} rdinit=/bin/crowd vitrine.processes={processes}".strip(),
        extra_files=(*config.extra_files, ("bin/crowd", str(initramfs.programs()["crowd"]))))
