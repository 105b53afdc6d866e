"""Translations of user addresses against /proc/PID/pagemap, and the bytes behind them."""

import re
import subprocess

import pytest
from monitors import tool
from test_truth_modules import resources
from truth_compare import Comparison, Explanation, of_guest, of_image

PAGE = 4096
BEACON_BYTES = 64

def elsewhere(difference, truth) -> bool:
    """The page lies in another page of the guest's RAM now (copied on write); it is not gone."""
    if not re.fullmatch("[0-9a-f]+", difference.found):
        return False
    address = int(difference.found, 16)
    return address % PAGE == 0 and any(first <= address < end for first, end in resources(truth, "System RAM"))


EXPLANATIONS = {
    # It wrote down all others first, and itself while it was still filling its buffers.
    "page of the process that wrote the truth": Explanation(
        lambda difference, truth: difference.key[0] == truth.collector and elsewhere(difference, truth), 8),
    "page of process 1, which runs between": Explanation(
        lambda difference, truth: difference.key[0] == 1 and elsewhere(difference, truth), 8),
}


def ask(subject, lines: list) -> list:
    done = subprocess.run([tool("guest_probe"), "translate", subject.target], input="\n".join(lines).encode(), capture_output=True,
                          check=False, timeout=60)
    assert done.returncode == 0, f"{subject}: {done.stderr.decode('utf-8', 'replace')}"
    return done.stdout.decode().splitlines()


def check_pages(subject, record_property):
    truth = subject.truth
    pages = [(pid, address, frame) for pid, process in truth.processes.items() for address, frame in process.pages]
    answers = ask(subject, [f"{pid} {address:x} 0" for pid, address, _ in pages])
    comparison = Comparison(subject, EXPLANATIONS)
    assert len(answers) == len(pages)
    for (pid, address, frame), answer in zip(pages, answers):
        comparison.equal((pid, hex(address)), "physical address", f"{frame * PAGE:x}", answer, truth)
    comparison.finish(record_property, at_least=5_000)


def check_beacon(subject):
    """640 pages that say their own virtual address; some of a large page, where the kernel gave one."""
    pid = subject.truth.workload["beacon"]
    area = [address for address, _ in subject.truth.processes[pid].pages]
    answers = ask(subject, [f"{pid} {address:x} {BEACON_BYTES}" for address in area])
    found = {}
    for address, answer in zip(area, answers):
        text = bytes.fromhex(answer.split()[1]) if not answer.startswith("-") else b""
        if text.startswith(b"VITRINE BEACON "):
            words = text.split(b"\n", 1)[0].split()
            found[int(words[3])] = (address, int(words[2], 16))
    assert found.keys() == set(range(640))
    assert not [number for number, (address, said) in found.items() if address != said]


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_pages_of_an_image(images, form, record_property):
    check_pages(of_image(images, form), record_property)
    check_beacon(of_image(images, form))


def test_pages_of_a_running_guest(guest, record_property):
    check_pages(of_guest(guest), record_property)
    check_beacon(of_guest(guest))
