#include "os/linux/find/block_order.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "vitrine/memory/paging.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kMaxNodes = 128;  // MAX_NODES in QEMU
constexpr std::size_t kMaxParts = 256;
// zone_pgdat of the first zone lies some 100 bytes from the start; far behind, node_zonelists of one node name zones of others.
constexpr std::uint64_t kHead = 256;

// Bytes that must be where the layout has this address, as in no other block.
struct Witness {
    Gpa address;
    std::uint64_t word = 0;
};

// Where the direct map begins: __PAGE_OFFSET_BASE_L4 and _L5 in arch/x86/include/asm/page_64_types.h unless the kernel moved it.
std::uint64_t direct_map(PhysicalMemory& memory, const ProvenKernel& kernel) {
    if (const auto symbol = kernel.symbols.get(SymbolId::page_offset_base)) {
        const auto value = memory.read_value<std::uint64_t>(Gpa{symbol->value + kernel.image.virtual_to_physical()});
        if (value) return *value;
    }
    return kernel.image.paging == PagingMode::x86_64_5level ? 0xff11'0000'0000'0000 : 0xffff'8880'0000'0000;
}

// The array may be shorter than what is read of it (MAX_NUMNODES is the kernel's): what follows is no pointer whose target has it, or it
// is one and tells as much.
std::vector<Witness> node_witnesses(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto nodes = kernel.symbols.get(SymbolId::node_data);
    if (!nodes) return {};
    const std::uint64_t base = direct_map(memory, kernel);
    std::vector<Witness> found;
    for (std::size_t node = 0; node < kMaxNodes; ++node) {
        const Gpa at{nodes->wrap_plus(node * 8).value + kernel.image.virtual_to_physical()};
        const auto pointer = memory.read_value<std::uint64_t>(at);
        if (!pointer) break;
        // cache-aligned, as memblock gives it
        if (*pointer <= base || *pointer % 64 != 0) continue;
        found.push_back({Gpa{*pointer - base}, *pointer});
    }
    return found;
}

// One group of blocks and what is known of it.
class Group {
public:
    Group(GuestMemory& ram, const InterchangeableParts& parts)
        : ram_(ram), parts_(parts), shown_(parts.offsets.size()), place_of_(parts.offsets.size()) {
        for (const LayoutExtent& extent : ram.layout().extents) {
            if (const auto part = part_at(extent.offset)) shown_[*part] = true;
        }
    }

    // The layout in force has this address right.
    void accept(Gpa address) {
        if (const auto at = locate(address)) place_of_[at->part] = at->part;
    }

    void ask(const Witness& witness) {
        const auto at = locate(witness.address);
        if (!at || place_of_[at->part]) return;
        place_of_[at->part] = only_place_with(witness.word, at->inside);
    }

    // What two blocks claim is a forgery of somebody's: then nothing is known. Who is left over has what is left over.
    void conclude() {
        std::vector<std::size_t> claims(parts_.offsets.size());
        for (const auto& place : place_of_) {
            if (place) ++claims[*place];
        }
        if (std::any_of(claims.begin(), claims.end(), [](std::size_t n) { return n > 1; })) {
            std::fill(place_of_.begin(), place_of_.end(), std::nullopt);
            return;
        }
        if (blocks() - proven() != 1 || std::count(claims.begin(), claims.end(), 0u) != 1) return;
        const auto free = static_cast<std::size_t>(std::find(claims.begin(), claims.end(), 0u) - claims.begin());
        for (std::size_t part = 0; part < shown_.size(); ++part) {
            if (shown_[part] && !place_of_[part]) place_of_[part] = free;
        }
    }

    [[nodiscard]] std::size_t blocks() const {
        return static_cast<std::size_t>(std::count(shown_.begin(), shown_.end(), true));
    }
    [[nodiscard]] std::size_t proven() const {
        return static_cast<std::size_t>(
            std::count_if(place_of_.begin(), place_of_.end(), [](const auto& place) { return place.has_value(); }));
    }

    // `layout` is the one in force.
    void put_in_order(MemoryLayout& layout) const {
        const std::vector<std::size_t> places = all_places();
        for (LayoutExtent& extent : layout.extents) {
            const auto part = part_at(extent.offset);
            if (part) extent.offset = parts_.offsets[places[*part]] + (extent.offset - parts_.offsets[*part]);
        }
    }

private:
    struct Place {
        std::size_t part = 0;
        std::uint64_t inside = 0;
    };

    [[nodiscard]] std::optional<std::size_t> part_at(std::uint64_t offset) const {
        for (std::size_t part = 0; part < parts_.offsets.size(); ++part) {
            if (offset - parts_.offsets[part] < parts_.size) return part;
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<Place> locate(Gpa address) const {
        for (const LayoutExtent& extent : ram_.layout().extents) {
            if (address.value - extent.start.value >= extent.size) continue;
            const std::uint64_t offset = extent.offset + (address.value - extent.start.value);
            const auto part = part_at(offset);
            if (!part) return std::nullopt;
            return Place{*part, offset - parts_.offsets[*part]};
        }
        return std::nullopt;
    }

    // nullopt: none has it, or more than one.
    [[nodiscard]] std::optional<std::size_t> only_place_with(std::uint64_t word, std::uint64_t inside) const {
        const std::uint64_t size = std::min(kHead, parts_.size - inside) / 8 * 8;
        std::vector<std::byte> bytes(static_cast<std::size_t>(size) * parts_.offsets.size());
        std::vector<StoreReadOp> ops;
        for (std::size_t part = 0; part < parts_.offsets.size(); ++part) {
            ops.push_back(
                {parts_.offsets[part] + inside,
                 std::span(bytes).subspan(part * static_cast<std::size_t>(size), static_cast<std::size_t>(size))});
        }
        if (!ram_.store().read(ops)) return std::nullopt;
        std::optional<std::size_t> found;
        for (std::size_t part = 0; part < ops.size(); ++part) {
            if (!ops[part].ok || !has_word(ops[part].out, word)) continue;
            if (found) return std::nullopt;
            found = part;
        }
        return found;
    }

    static bool has_word(std::span<const std::byte> bytes, std::uint64_t word) {
        for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
            if (load<std::uint64_t>(bytes.data() + at) == word) return true;
        }
        return false;
    }

    // What is not proven stays where it is, or takes what another left.
    [[nodiscard]] std::vector<std::size_t> all_places() const {
        std::vector<std::size_t> places(parts_.offsets.size());
        std::vector<bool> taken(places.size());
        std::vector<std::size_t> homeless;
        for (const auto& place : place_of_) {
            if (place) taken[*place] = true;
        }
        for (std::size_t part = 0; part < places.size(); ++part) {
            if (place_of_[part]) {
                places[part] = *place_of_[part];
            } else if (!taken[part]) {
                places[part] = part;
                taken[part] = true;
            } else {
                homeless.push_back(part);
            }
        }
        for (const std::size_t part : homeless) {
            const auto free = std::find(taken.begin(), taken.end(), false);
            places[part] = static_cast<std::size_t>(free - taken.begin());
            *free = true;
        }
        return places;
    }

    GuestMemory& ram_;
    const InterchangeableParts& parts_;
    std::vector<bool> shown_;
    std::vector<std::optional<std::size_t>> place_of_;  // of what the layout shows in this part: the part that it is in
};

}  // namespace

BlockOrder find_block_order(PhysicalMemory& memory, GuestMemory& ram, std::span<const InterchangeableParts> groups,
                            const ProvenKernel& kernel) {
    BlockOrder order;
    order.layout = ram.layout();
    const std::vector<Witness> witnesses = node_witnesses(memory, kernel);
    for (const InterchangeableParts& parts : groups) {
        Group group(ram, parts);
        order.blocks += group.blocks();
        if (parts.offsets.size() > kMaxParts) continue;
        // Its own page tables name physical addresses of the kernel's image.
        group.accept(kernel.image.text_pa);
        for (const Witness& witness : witnesses) group.ask(witness);
        group.conclude();
        group.put_in_order(order.layout);
        order.proven += group.proven();
    }
    if (!(order.layout.extents == ram.layout().extents))
        order.layout.name += ", blocks in the order of the kernel's nodes";
    return order;
}

}  // namespace vitrine::linux_os
