#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "sources/qemu/memory_plan.h"
#include "vitrine/base/address.h"

namespace vitrine {
namespace {

using nlohmann::json;

constexpr std::uint64_t kOneMiB = 1u << 20;
constexpr std::size_t kMaxDevices = 1024;

Error tree_error(std::string text) {
    return Error::with_text(Errc::inconsistent, Origin::source, "the monitor's memory tree: " + std::move(text));
}

bool is_ram(const FlatRange& range) { return range.type == "ram"; }

std::uint64_t visible_end(const std::vector<FlatRange>& view, const std::string& region) {
    std::uint64_t end = 0;
    for (const FlatRange& r : view) {
        if (r.region == region && (r.type == "ram" || r.type == "rom")) end = std::max(end, r.offset + r.size);
    }
    return end;
}

// Main memory begins at 0 and goes on without a gap up to the PCI hole, then from 4 GiB on (from 1 TiB on, for very large
// guests of AMD hosts: x86_update_above_4g_mem_start() in hw/i386/pc.c). Several NUMA nodes follow each other.
Result<std::vector<std::string>> main_regions(const std::vector<FlatRange>& view, std::uint64_t base) {
    std::vector<std::string> regions;
    std::uint64_t found = 0;
    std::uint64_t end_of_main = 0;
    for (const FlatRange& r : view) {
        if (!is_ram(r)) continue;
        const bool known = std::find(regions.begin(), regions.end(), r.region) != regions.end();
        const bool follows = r.start == end_of_main || r.start == (1ull << 32) || r.start == (1ull << 40);
        if (!known) {
            const bool first = regions.empty() && r.start == 0;
            const bool next = !regions.empty() && r.start >= kOneMiB && follows;
            if (found >= base || r.offset != 0 || !(first || next)) continue;
            regions.push_back(r.region);
            found += visible_end(view, r.region);
        }
        end_of_main = r.start + r.size;
    }
    if (regions.empty()) return tree_error("no RAM at address 0");
    if (found != base) return tree_error(fmt::format("{:#x} bytes of main memory found, {:#x} expected", found, base));
    return regions;
}

Result<std::vector<MemoryDevice>> read_devices(const json& reply) {
    if (!reply.is_array() || reply.size() > kMaxDevices) return tree_error("unusable list of memory devices");
    std::vector<MemoryDevice> devices;
    for (const json& entry : reply) {
        MemoryDevice device{json_string(entry, "type").value_or(""), {}, 0, 0};
        if (const json* data = json_member(entry, "data")) {
            device.backend = backend_id_of_region(json_string(*data, "memdev").value_or(""));
            const auto address = json_unsigned(*data, "addr");
            device.address = address ? *address : json_unsigned(*data, "memaddr").value_or(0);
            const auto max = json_unsigned(*data, "max-size");
            device.size = max ? *max : json_unsigned(*data, "size").value_or(0);
        }
        devices.push_back(std::move(device));
    }
    return devices;
}

// A byte of a block whose host address is asked for.
struct Probe {
    std::uint64_t gpa = 0;
    std::uint64_t offset = 0;  // in the block
};

// The first byte of its RAM and its last page: both must give the same address for the block's beginning.
Result<std::array<Probe, 2>> probes_of(const GuestBlock& block) {
    const auto is_plain = [](const FlatRange& r) { return is_ram(r); };
    const auto first = std::find_if(block.ranges.begin(), block.ranges.end(), is_plain);
    const auto last = std::find_if(block.ranges.rbegin(), block.ranges.rend(), is_plain);
    if (first == block.ranges.end()) return tree_error(fmt::format("'{}' is not RAM", block.name));
    const std::uint64_t in_last = last->size > kPageSize ? last->size - kPageSize : 0;
    return std::array<Probe, 2>{Probe{first->start, first->offset},
                                Probe{last->start + in_last, last->offset + in_last}};
}

// Where each block begins in the monitor's address space.
Result<std::vector<std::uint64_t>> host_starts(QmpClient& qmp, const std::vector<GuestBlock>& blocks) {
    std::vector<Probe> probes;
    std::vector<QmpClient::Command> commands;
    for (const GuestBlock& block : blocks) {
        for (const Probe& probe : VITRINE_TRY(probes_of(block))) {
            probes.push_back(probe);
            commands.push_back(QmpClient::hmp_command(fmt::format("gpa2hva {:#x}", probe.gpa)));
        }
    }
    const auto replies = qmp.execute_all(std::move(commands));
    std::vector<std::uint64_t> starts;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        const std::string text = VITRINE_TRY(QmpClient::hmp_text(replies[i]));
        const auto address = parse_gpa2hva(text);
        if (!address || *address < probes[i].offset)
            return tree_error(fmt::format("no host address for {:#x}", probes[i].gpa));
        const std::uint64_t start = *address - probes[i].offset;
        if (i % 2 == 0) starts.push_back(start);
        else if (start != starts.back() || start % kPageSize != 0)
            return tree_error(fmt::format("'{}' is not contiguous in the monitor", blocks[i / 2].name));
    }
    return starts;
}

// The first MiB is shown in many pieces (shadowed ROMs), which all are the same RAM.
void join_extents(std::vector<LayoutExtent>& extents) {
    std::vector<LayoutExtent> joined;
    for (const LayoutExtent& e : extents) {
        LayoutExtent* const last = joined.empty() ? nullptr : &joined.back();
        const bool continues = last != nullptr && last->start.value + last->size == e.start.value &&
                               last->offset + last->size == e.offset;
        if (continues) last->size += e.size;
        else joined.push_back(e);
    }
    extents = std::move(joined);
}

}  // namespace

std::uint64_t GuestBlock::size() const {
    std::uint64_t end = 0;
    for (const FlatRange& r : ranges) end = std::max(end, r.offset + r.size);
    return end;
}

Result<std::vector<GuestBlock>> select_guest_blocks(const std::vector<FlatRange>& view, std::uint64_t base,
                                                    const std::vector<MemoryDevice>& devices,
                                                    std::vector<std::string>& notes) {
    for (const FlatRange& r : view) {
        std::uint64_t end = 0;
        if (__builtin_add_overflow(r.offset, r.size, &end) || end > (1ull << 62))
            return tree_error("an offset is out of range");
    }
    std::vector<std::string> regions = VITRINE_TRY(main_regions(view, base));
    for (const MemoryDevice& device : devices) {
        const bool wanted = device.type == "dimm" || device.type == "virtio-mem";
        if (!wanted)
            notes.push_back(fmt::format("memory device '{}' ({}) is not RAM of the guest and is left out",
                                        device.backend, device.type));
        for (const FlatRange& r : view) {
            const bool inside = r.start >= device.address && r.start - device.address < device.size;
            if (!wanted || !inside || !is_ram(r) || backend_id_of_region(r.region) != device.backend) continue;
            if (std::find(regions.begin(), regions.end(), r.region) == regions.end()) regions.push_back(r.region);
        }
    }
    std::vector<GuestBlock> blocks;
    for (const std::string& region : regions) {
        GuestBlock block{region, {}};
        // A read-only view of RAM (the shadowed BIOS below 1 MiB) shows RAM all the same.
        for (const FlatRange& r : view) {
            if (r.region == region && (is_ram(r) || r.type == "rom")) block.ranges.push_back(r);
        }
        blocks.push_back(std::move(block));
    }
    return blocks;
}

Result<MemoryPlan> plan_from_monitor(QmpClient& qmp) {
    std::vector<QmpClient::Command> questions{{"query-memory-size-summary"}, {"query-memory-devices"}};
    questions.push_back(QmpClient::hmp_command("info mtree -f"));
    const auto replies = qmp.execute_all(std::move(questions));
    for (const auto& reply : replies) {
        if (!reply) return reply.error();
    }
    const auto base = json_unsigned(*replies[0], "base-memory");
    if (!base || *base == 0) return tree_error("no size of the main memory");
    const std::vector<MemoryDevice> devices = VITRINE_TRY(read_devices(*replies[1]));
    const std::string tree = VITRINE_TRY(QmpClient::hmp_text(replies[2]));
    const std::vector<FlatRange> view = VITRINE_TRY(parse_flat_view(tree));

    MemoryPlan plan;
    const std::vector<GuestBlock> blocks = VITRINE_TRY(select_guest_blocks(view, *base, devices, plan.notes));
    const std::vector<std::uint64_t> starts = VITRINE_TRY(host_starts(qmp, blocks));
    MemoryLayout layout{"the monitor's memory tree", {}, true};
    std::uint64_t store_offset = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        // Whole pages: the mapping behind it has nothing else.
        const std::uint64_t size = (blocks[i].size() + kPageSize - 1) / kPageSize * kPageSize;
        plan.blocks.push_back({blocks[i].name, starts[i], size});
        for (const FlatRange& r : blocks[i].ranges)
            layout.extents.push_back({Gpa{r.start}, r.size, store_offset + r.offset});
        store_offset += size;
    }
    std::sort(layout.extents.begin(), layout.extents.end(),
              [](const LayoutExtent& a, const LayoutExtent& b) { return a.start < b.start; });
    join_extents(layout.extents);
    VITRINE_CHECK(layout.validate(store_offset));
    plan.layouts.push_back(std::move(layout));
    return plan;
}

}  // namespace vitrine
