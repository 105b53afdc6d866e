#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "sources/qemu/memory_plan.h"
#include "sources/qemu/wanted_blocks.h"
#include "sources/qemu/x86_layout.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;
// Where nothing is said about the size, smaller mappings are not looked at.
constexpr std::uint64_t kSmallestGuess = 32 * kMiB;

// Sizes of low memory that are possible, likeliest first.
std::vector<std::uint64_t> splits_for(const QemuCommandLine& line, std::uint64_t total) {
    const X86Chipset chipset = chipset_of(line.machine);
    std::vector<std::uint64_t> splits{ram_below_4g(chipset, total, line.max_below_4g)};
    const auto add = [&](std::uint64_t split) {
        if (std::find(splits.begin(), splits.end(), split) == splits.end()) splits.push_back(split);
    };
    // A configuration file may say more than the command line; machine types before 2.0 kept 3.5 GiB below the hole.
    for (const X86Chipset other : {X86Chipset::i440fx, X86Chipset::q35}) add(ram_below_4g(other, total, 0));
    add(std::min<std::uint64_t>(total, 0xe000'0000));
    if (line.has_config_file) {
        for (const std::uint64_t low : {2 * kGiB, kGiB}) add(std::min(total, low));
    }
    return splits;
}

std::size_t store_block(MemoryPlan& plan, const RamBlock& block) {
    const auto same = std::find_if(plan.blocks.begin(), plan.blocks.end(), [&](const RamBlock& b) {
        return b.host_start == block.host_start && b.size == block.size;
    });
    if (same != plan.blocks.end()) return static_cast<std::size_t>(same - plan.blocks.begin());
    plan.blocks.push_back(block);
    return plan.blocks.size() - 1;
}

std::uint64_t store_offset(const MemoryPlan& plan, std::size_t index) {
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < index; ++i) offset += plan.blocks[i].size;
    return offset;
}

void add_layouts(MemoryPlan& plan, const QemuCommandLine& line, const std::vector<std::size_t>& blocks,
                 const std::vector<std::uint64_t>& sizes, std::uint64_t split, std::size_t choice, bool many) {
    if (plan.layouts.size() >= kMaxLayouts) return;
    std::vector<StoredBlock> stored;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        stored.push_back({store_offset(plan, blocks[i]), sizes[i]});
        total += sizes[i];
    }
    const X86Chipset chipset = chipset_of(line.machine);
    std::string name = split < total ? fmt::format("hole at {:#x} ({})", split, to_string(chipset))
                                     : fmt::format("one piece ({})", to_string(chipset));
    if (many) name += fmt::format(", choice {} of the mappings", choice + 1);
    MemoryLayout layout = x86_layout(stored, split, chipset != X86Chipset::microvm, std::move(name));
    if (layout.validate(store_offset(plan, plan.blocks.size()))) plan.layouts.push_back(std::move(layout));
}

// Does the layout show a part of the mapping?
bool shows(const MemoryPlan& plan, const MemoryLayout& layout, const HostMapping& m) {
    std::uint64_t offset = 0;
    for (const RamBlock& block : plan.blocks) {
        const bool overlaps = block.host_start < m.end && m.start < block.host_start + block.size;
        const bool used = std::any_of(layout.extents.begin(), layout.extents.end(), [&](const LayoutExtent& e) {
            return e.offset < offset + block.size && offset < e.offset + e.size;
        });
        if (overlaps && used) return true;
        offset += block.size;
    }
    return false;
}

// Mappings like those of RAM blocks that a layout leaves out, but for the memory of devices that were asked for at the start.
// All layouts use blocks of the same sizes: which of several mappings of one size is left out depends on the layout, how
// many does not.
std::vector<const HostMapping*> left_out(const MemoryPlan& plan, const QemuCommandLine& line,
                                         const std::vector<HostMapping>& maps) {
    constexpr std::uint64_t kSmallestPlugged = 128 * kMiB;  // what Linux adds at a time on x86
    std::vector<const HostMapping*> left;
    for (const HostMapping& m : maps) {
        if (!may_be_ram(m) || m.size() < kSmallestPlugged || !has_guard_behind(maps, m)) continue;
        if (!shows(plan, plan.layouts.front(), m)) left.push_back(&m);
    }
    for (const std::string& id : line.device_backends) {
        const MemoryBackend* backend = line.find_backend(id);
        const auto its = std::find_if(left.begin(), left.end(), [&](const HostMapping* m) {
            return backend != nullptr && m->size() == backend->size;
        });
        if (its != left.end()) left.erase(its);
    }
    return left;
}

// Memory that was plugged in is at an address that only the monitor knows.
void note_plugged_memory(MemoryPlan& plan, const QemuCommandLine& line, const std::vector<HostMapping>& maps) {
    constexpr std::string_view kWhy = "left out: without the monitor socket its guest-physical address is not known";
    std::vector<std::string> parts;
    for (const std::string& id : line.device_backends) {
        const MemoryBackend* backend = line.find_backend(id);
        if (backend == nullptr) continue;
        plan.notes.push_back(
            fmt::format("memory of the device with backend '{}' ({} MiB) is {}", id, backend->size / kMiB, kWhy));
        if (std::find(line.ram_devices.begin(), line.ram_devices.end(), id) != line.ram_devices.end())
            parts.push_back(fmt::format("{} MiB of backend '{}'", backend->size / kMiB, id));
    }
    // Nothing can be plugged in where no room for it was asked for; what a configuration file asks for is not known.
    if (line.max_memory > line.memory_size || line.has_config_file) {
        for (const HostMapping* m : left_out(plan, line, maps)) {
            const bool one_of_many = std::any_of(plan.blocks.begin(), plan.blocks.end(),
                                                 [&](const RamBlock& b) { return b.size == m->size(); });
            const std::string which = one_of_many
                                          ? fmt::format("one of the mappings of {} MiB", m->size() / kMiB)
                                          : fmt::format("a mapping of {} MiB at {:#x}", m->size() / kMiB, m->start);
            plan.notes.push_back(fmt::format("{} may be memory that was plugged in later; it is {}", which, kWhy));
            parts.push_back(which);
        }
    }
    if (parts.empty()) return;
    if (!plan.uncovered.empty()) plan.uncovered += ". Besides, ";
    plan.uncovered += fmt::format(
        "memory of the guest may be missing: {}. Without the monitor socket its address is not "
        "known, and what lies there is not seen",
        fmt::join(parts, ", "));
}

// Nothing of the expected size: whatever looks like a RAM block, each on its own.
void plan_by_size_alone(MemoryPlan& plan, const QemuCommandLine& line, const std::vector<HostMapping>& maps) {
    std::vector<const HostMapping*> large;
    for (const HostMapping& m : maps) {
        if (may_be_ram(m) && m.size() >= kSmallestGuess && has_guard_behind(maps, m)) large.push_back(&m);
    }
    std::sort(large.begin(), large.end(), [](const HostMapping* a, const HostMapping* b) {
        return std::pair(a->size(), a->start) > std::pair(b->size(), b->start);
    });
    if (large.size() > kMaxLayouts / 4) large.resize(kMaxLayouts / 4);
    for (std::size_t i = 0; i < large.size(); ++i) {
        const std::size_t block = store_block(
            plan, {fmt::format("mapping at {:#x}", large[i]->start), large[i]->start, large[i]->size()});
        for (const std::uint64_t split : splits_for(line, large[i]->size())) {
            add_layouts(plan, line, {block}, {large[i]->size()}, split, i, large.size() > 1);
        }
    }
}

// Every mapping that may be one of these blocks is given along: the guest's kernel, once found, may tell which is which. That they have
// one size is all that they need have in common.
void note_equal_blocks(MemoryPlan& plan, const std::vector<WantedBlock>& blocks,
                       const std::vector<std::vector<Candidate>>& candidates) {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        for (const Candidate& c : candidates[i]) store_block(plan, {blocks[i].name, c.start, mapped_size(blocks[i])});
    }
    for (std::size_t i = 0; i < plan.blocks.size(); ++i) {
        const std::uint64_t size = plan.blocks[i].size;
        auto group = std::find_if(plan.interchangeable.begin(), plan.interchangeable.end(),
                                  [&](const InterchangeableParts& parts) { return parts.size == size; });
        if (group == plan.interchangeable.end()) {
            const auto same = std::count_if(plan.blocks.begin(), plan.blocks.end(),
                                            [&](const RamBlock& b) { return b.size == size; });
            if (same > 1) group = plan.interchangeable.insert(group, {size, {}});
        }
        if (group != plan.interchangeable.end()) group->offsets.push_back(store_offset(plan, i));
    }
    plan.unproven_order =
        "several blocks of memory have the same size, and without the monitor socket the order in which they were "
        "made, which is likely but not proven by the guest's kernel, decides which is which: answers may mix them up";
}

// Every way to find the expected blocks among the mappings, with every split. The likely split for every choice of mappings
// comes first, the unlikely ones behind.
void plan_by_blocks(MemoryPlan& plan, const QemuCommandLine& line, const std::vector<WantedBlock>& blocks,
                    const std::vector<std::vector<Candidate>>& candidates) {
    std::vector<std::size_t> order;
    for (const WantedBlock& block : blocks) order.push_back(block.order);
    const BlockChoices choices = choose_mappings(candidates, order);
    const bool many = choices.all.size() > 1;
    std::vector<std::uint64_t> sizes;
    std::uint64_t total = 0;
    for (const WantedBlock& block : blocks) {
        sizes.push_back(block.size);
        total += block.size;
    }
    for (const std::uint64_t split : splits_for(line, total)) {
        for (std::size_t choice = 0; choice < choices.all.size(); ++choice) {
            std::vector<std::size_t> indices;
            for (std::size_t i = 0; i < blocks.size(); ++i) {
                const std::uint64_t start = choices.all[choice][i].start;
                indices.push_back(store_block(plan, {blocks[i].name, start, mapped_size(blocks[i])}));
            }
            add_layouts(plan, line, indices, sizes, split, choice, many);
        }
    }
    if (may_be_confused(choices)) note_equal_blocks(plan, blocks, candidates);
    if (choices.truncated) plan.notes.emplace_back("more mappings have the right sizes than were tried");
}

}  // namespace

Result<MemoryPlan> plan_from_command_line(const QemuCommandLine& line, const std::vector<HostMapping>& maps) {
    const std::vector<HostMapping> joined = join_mappings(maps);
    const std::vector<WantedBlock> blocks = wanted_blocks(line);
    std::vector<std::vector<Candidate>> candidates;
    std::uint64_t total = 0;
    for (const WantedBlock& block : blocks) {
        if (__builtin_add_overflow(total, block.size, &total) || total > (1ull << 52)) {
            return Error::make(Errc::out_of_range, Origin::source, "the memory size on QEMU's command line");
        }
        candidates.push_back(candidates_for(block, maps, joined));
    }
    MemoryPlan plan;
    if (!line.size_is_known) {
        plan_by_size_alone(plan, line, maps);
        plan.notes.emplace_back(
            "QEMU was started with a configuration file, so the memory size is not known: every large mapping is a "
            "candidate");
    }
    plan_by_blocks(plan, line, blocks, candidates);
    if (plan.layouts.empty()) {
        plan_by_size_alone(plan, line, maps);
        plan.notes.push_back(fmt::format(
            "no mapping has the size on the command line ({} MiB): every large one is a candidate", total / kMiB));
    }
    if (plan.layouts.empty()) {
        return Error::with_text(
            Errc::not_found, Origin::source,
            fmt::format("no mapping of {} MiB, as QEMU's command line asks for, and none that looks like guest RAM",
                        total / kMiB),
            "if QEMU has just been started, try again; else give it a monitor socket (-qmp "
            "unix:PATH,server=on,wait=off)");
    }
    note_plugged_memory(plan, line, maps);
    return plan;
}

}  // namespace vitrine
