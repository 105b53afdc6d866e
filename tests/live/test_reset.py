"""A guest that is reset: until its next kernel has overwritten it, the kernel of before lies in memory, whole. It is never shown as what
runs; where no register can be read, and nothing else tells, the answer says so."""

import json
import time

import pytest
from conftest import guests, start
from test_truth_live import EXIT_NO_KERNEL, EXIT_UNREACHABLE, boots_written, one_clear_line

DOUBT = "nothing shows that this kernel runs"
OTHER_CODE_RUNS = "the guest's processors do not run it"


class Polling:
    """Asks for the processes again and again, and sorts the answers."""

    def __init__(self, vitrine, guest, options):
        self.vitrine, self.guest, self.options = vitrine, guest, options
        self.target = f"qemu:{guest.pid}"
        self.first = self.marks(vitrine.rows("table", "processes", self.target))
        self.old, self.new, self.errors = [], 0, []

    def marks(self, rows) -> set:
        """The processes that stay. Without KASLR another boot may put a task where it lay before, and may start an early one at the same
        tick, but hardly half of them."""
        return {(row["pid"], row["task"], row["start_ns"]) for row in rows if row["pid"] in self.guest.truth.processes}

    def is_old(self, rows) -> bool:
        """Of the boot before the reset."""
        return 2 * len(self.first & {(row["pid"], row["task"], row["start_ns"]) for row in rows}) > len(self.first)

    def once(self) -> None:
        """One run, as a user would make it."""
        done = self.vitrine("table", "processes", self.target, *self.options, "--format", "json")
        if done.returncode != 0:
            assert done.returncode in (EXIT_UNREACHABLE, EXIT_NO_KERNEL, 5), done.stderr
            self.errors.append(one_clear_line(done))
        elif self.is_old(json.loads(done.stdout)):
            self.old.append(done.stderr.decode())
        else:
            self.new += 1

    def account(self) -> str:
        """For the record."""
        kinds = sorted({error.split(" (")[0][:100] for error in self.errors})
        return f"{len(self.old)} answers of the boot before ({sum(DOUBT in text for text in self.old)} with the doubt), {self.new} of the " \
               f"next, {len(self.errors)} errors: {kinds}"


def poll_until_booted(guest, pollings, boots: int, seconds: float = 180.0) -> None:
    """Polls in turn until the guest has written its truth so often, and once more."""
    deadline = time.monotonic() + seconds
    while boots_written(guest) < boots:
        assert time.monotonic() < deadline, guest.console()[-2000:]
        for polling in pollings:
            polling.once()
    for polling in pollings:
        polling.once()


RESET_GUESTS = {"k61": ("k61", {}), "k61-same-place": ("k61", {"kaslr": False, "smp": 2}), "k7": ("k7", {"backend": "memfd-shared"})}


@pytest.fixture(name="polled", scope="module", params=RESET_GUESTS)
def polled_through_a_reset(request, vitrine):
    """One reset of a guest, looked at with registers and by its memory alone, one after the other."""
    kernel, settings = RESET_GUESTS[request.param]
    with start(guests.GuestConfig(kernel=kernel, append="vitrine.reboot=100000", **settings)) as guest:
        pollings = {"registers": Polling(vitrine, guest, ()),
                    "memory-alone": Polling(vitrine, guest, ("--no-qmp", "--no-registers"))}
        with guest.qmp() as qmp:
            qmp("system_reset")
            qmp.wait_for_event("RESET")  # the command itself only asks for it
        poll_until_booted(guest, pollings.values(), 2)
        return pollings


@pytest.mark.parametrize("how", ["registers", "memory-alone"])
def test_old_boot_after_a_reset(polled, record_property, how):
    polling = polled[how]
    record_property("compared", polling.account())
    print(polling.account())
    if how == "memory-alone":
        sure = [number for number, text in enumerate(polling.old) if DOUBT not in text]
        assert not sure, f"the kernel before the reset, and no word that it may be: answers {sure} of {len(polling.old)}"
        # Either shows that the time between the kernels was looked into: the next may stand there before the old one was overwritten.
        assert polling.errors or polling.old
    else:
        assert not polling.old, "the kernel before the reset"
        assert polling.errors
    assert polling.new > 0


def test_each_stage_of_a_boot(vitrine, boot, record_property):
    """Stopped again and again on its way from the reset, in firmware, boot loader and decompressor, which runs in long mode as UEFI
    firmware does: the kernel before is refused at each."""
    # QEMU puts the initrd at the end of low memory: where there is more above 4 GiB, the kernel before is spared for long.
    guest = boot(kernel="k61", memory_mib=5120, append="vitrine.reboot=100000")
    polling = Polling(vitrine, guest, ())
    deadline = time.monotonic() + 120
    with guest.qmp() as qmp:
        qmp("stop")
        qmp("system_reset")
        qmp.wait_for_event("RESET")
    while boots_written(guest) < 2 and not polling.new and time.monotonic() < deadline:
        polling.once()
        with guest.qmp() as qmp:
            qmp("cont")
            time.sleep(0.03)
            qmp("stop")
    with guest.qmp() as qmp:
        qmp("cont")
    record_property("compared", polling.account())
    print(polling.account())
    assert not polling.old, "the kernel before the reset"
    assert any(OTHER_CODE_RUNS in error for error in polling.errors), "no stage in long mode was met"
