// Where a running QEMU keeps its guest's RAM: the blocks in its own address space, and the layouts that may hold.
//
// With a monitor the plan is exact and has one layout, marked certain. Without, the command line tells the sizes and the
// mappings of the process which of them are candidates; where that leaves a choice, every choice is a layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sources/host/maps.h"
#include "sources/qemu/command_line.h"
#include "sources/qemu/memory_tree.h"
#include "sources/qmp/qmp_client.h"
#include "vitrine/base/result.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

struct RamBlock {
    std::string name;
    std::uint64_t host_start = 0;  // in the monitor's address space
    std::uint64_t size = 0;
    friend bool operator==(const RamBlock&, const RamBlock&) = default;
};

struct MemoryPlan {
    std::vector<RamBlock> blocks;  // in the order in which they make up the store
    std::vector<MemoryLayout> layouts;
    std::vector<std::string> notes;
    // Memory of the guest, or what may be that, which is in no layout: one line. Empty: there is none.
    std::string uncovered{};
    // Blocks of one size that only their likely order tells apart, and one line that says so. Empty: there are none.
    std::vector<InterchangeableParts> interchangeable{};
    std::string unproven_order{};
};

// Memory plugged in besides the main memory, as query-memory-devices tells.
struct MemoryDevice {
    std::string type;     // "dimm", "virtio-mem", "nvdimm", ...
    std::string backend;  // id
    std::uint64_t address = 0;
    std::uint64_t size = 0;
};

// A block as the memory tree shows it: its name and the ranges that it backs, by rising address.
struct GuestBlock {
    std::string name;
    std::vector<FlatRange> ranges;
    [[nodiscard]] std::uint64_t size() const;  // as far as it is visible
};

// Which blocks of the flat view are the guest's RAM: main memory (`base` bytes from address 0 on) and plugged-in RAM. The
// memory of devices (a video adapter's, ivshmem's, persistent memory) is not. Errors: inconsistent.
Result<std::vector<GuestBlock>> select_guest_blocks(const std::vector<FlatRange>& view, std::uint64_t base,
                                                    const std::vector<MemoryDevice>& devices,
                                                    std::vector<std::string>& notes);

Result<MemoryPlan> plan_from_monitor(QmpClient& qmp);

// maps: as read_maps() gives them. Errors: not_found when nothing of the right size is mapped.
Result<MemoryPlan> plan_from_command_line(const QemuCommandLine& line, const std::vector<HostMapping>& maps);

}  // namespace vitrine
