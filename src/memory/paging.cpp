#include "vitrine/memory/paging.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>

#include "memory/page_walk.h"
#include "vitrine/base/bytes.h"

namespace vitrine {

std::string_view to_string(PagingMode mode) {
    switch (mode) {
        case PagingMode::none: return "no paging";
        case PagingMode::x86_32: return "32-bit";
        case PagingMode::x86_pae: return "PAE";
        case PagingMode::x86_64_4level: return "4-level";
        case PagingMode::x86_64_5level: return "5-level";
    }
    return "unknown";
}

bool is_canonical(PagingMode mode, Gva address) {
    const auto sign_extends_from = [&](unsigned bit) {
        const std::uint64_t top = address.value >> bit;
        return top == 0 || top == ~std::uint64_t{0} >> bit;
    };
    switch (mode) {
        case PagingMode::x86_64_4level: return sign_extends_from(47);
        case PagingMode::x86_64_5level: return sign_extends_from(56);
        default: return address.value >> 32 == 0;
    }
}

PagingMode paging_mode_from_registers(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer) {
    constexpr std::uint64_t kPg = std::uint64_t{1} << 31;
    constexpr std::uint64_t kPae = 1u << 5;
    constexpr std::uint64_t kLa57 = 1u << 12;
    constexpr std::uint64_t kLma = 1u << 10;
    if ((cr0 & kPg) == 0) return PagingMode::none;
    if ((cr4 & kPae) == 0) return PagingMode::x86_32;
    if ((efer & kLma) == 0) return PagingMode::x86_pae;
    return (cr4 & kLa57) != 0 ? PagingMode::x86_64_5level : PagingMode::x86_64_4level;
}

Result<Translation> translate(PhysicalMemory& memory, PagingMode mode, Gpa root, Gva address) {
    if (!is_canonical(mode, address)) {
        return Error::make_at(Errc::out_of_range, Origin::translate, address.value, "address is not canonical");
    }
    if (mode == PagingMode::none) return Translation{Gpa{address.value}, kPageSize, true, true, true};
    Translation result{{}, 0, true, true, true};
    std::uint64_t table = walk::root_table(mode, root);
    for (const walk::Level& level : walk::levels(mode)) {
        const std::uint64_t at = walk::entry_address(mode, level, table, address.value);
        std::array<std::byte, 8> raw{};
        ReadOp op{Gpa{at}, std::span(raw).first(walk::entry_size(mode))};
        VITRINE_CHECK(memory.read(std::span<ReadOp>(&op, 1)));
        if (!op.ok) return Error::make_at(op.status, Origin::translate, at, level.name);
        const walk::Entry entry = walk::decode(mode, level, load<std::uint64_t>(raw.data()));
        if (!entry.present) return Error::make_at(Errc::not_present, Origin::translate, at, level.name);
        if (entry.malformed) return Error::make_at(Errc::malformed, Origin::translate, at, level.name);
        result.writable = result.writable && entry.writable;
        result.user = result.user && entry.user;
        result.executable = result.executable && entry.executable;
        if (entry.large || level.shift == 12) {
            result.page_size = std::uint64_t{1} << level.shift;
            result.address = Gpa{entry.frame | address.offset_in(result.page_size)};
            return result;
        }
        table = entry.frame;
    }
    return Error::make_at(Errc::malformed, Origin::translate, address.value, "page walk");
}

namespace {

struct Permissions {
    bool writable = true;
    bool user = true;
    bool executable = true;
};

// Depth-first over the tables, each read whole, once per meeting.
class Enumerator {
public:
    Enumerator(PhysicalMemory& memory, PagingMode mode, std::uint64_t first, std::uint64_t last, WalkBudget budget,
               FunctionRef<bool(const MappedRun&)> visit)
        : memory_(memory),
          mode_(mode),
          levels_(walk::levels(mode)),
          first_(first),
          last_(last),
          max_nodes_(budget.nodes),
          deadline_(budget.time),
          visit_(visit) {}

    WalkReport run(std::uint64_t root) {
        const bool whole = walk_table(0, root, 0, {});
        if (pending_ && report_.end != WalkEnd::stopped) deliver();
        if (whole && report_.end == WalkEnd::complete && unreadable_) {
            report_.end = WalkEnd::fault;
            report_.last_address = *unreadable_;
        }
        return report_;
    }

private:
    bool end(WalkEnd how, std::uint64_t address) {
        report_.end = how;
        report_.last_address = address;
        return false;
    }

    bool deliver() {
        const MappedRun run = *pending_;
        pending_.reset();
        return visit_(run) || end(WalkEnd::stopped, run.va.value);
    }

    bool add(const MappedRun& run) {
        if (pending_) {
            MappedRun& p = *pending_;
            if (p.va.value + p.size == run.va.value && p.pa.value + p.size == run.pa.value &&
                p.writable == run.writable && p.user == run.user && p.executable == run.executable) {
                p.size += run.size;
                return true;
            }
            if (!deliver()) return false;
        }
        pending_ = run;
        return true;
    }

    bool add_leaf(const walk::Entry& entry, const Permissions& may, std::uint64_t va, std::uint64_t va_last) {
        const std::uint64_t low = std::max(va, first_ & ~(kPageSize - 1));
        const std::uint64_t high = std::min(va_last, last_ | (kPageSize - 1));
        return add({Gva{low}, Gpa{entry.frame + (low - va)}, high - low + 1, may.writable, may.user, may.executable});
    }

    // Virtual addresses of an entry; with 4 and 5 levels the upper half of the top table is the sign-extended one.
    [[nodiscard]] std::uint64_t entry_va(std::size_t depth, std::uint64_t base, std::uint64_t index) const {
        const walk::Level& level = levels_[depth];
        std::uint64_t va = base + (index << level.shift);
        const unsigned width = level.shift + level.index_bits;
        if (depth == 0 && width > 32 && (va >> (width - 1) & 1) != 0) va |= ~std::uint64_t{0} << (width - 1);
        return va;
    }

    bool walk_table(std::size_t depth, std::uint64_t table, std::uint64_t base, Permissions may) {
        const walk::Level& level = levels_[depth];
        const std::uint64_t entries = std::uint64_t{1} << level.index_bits;
        const unsigned width = walk::entry_size(mode_);
        std::array<std::byte, kPageSize> bytes;
        ReadOp op{Gpa{table}, std::span(bytes).first(entries * width)};
        if (auto outcome = memory_.read(std::span<ReadOp>(&op, 1)); !outcome || !op.ok) {
            if (!unreadable_) unreadable_ = base;
            return outcome ? true : end(WalkEnd::fault, base);
        }
        for (std::uint64_t index = 0; index < entries; ++index) {
            const std::byte* at = bytes.data() + index * width;
            const std::uint64_t raw = width == 4 ? load<std::uint32_t>(at) : load<std::uint64_t>(at);
            if ((raw & walk::kPresent) == 0) continue;
            if (!walk_entry(depth, raw, entry_va(depth, base, index), may)) return false;
        }
        return true;
    }

    bool walk_entry(std::size_t depth, std::uint64_t raw, std::uint64_t va, Permissions may) {
        const walk::Level& level = levels_[depth];
        const std::uint64_t va_last = va + ((std::uint64_t{1} << level.shift) - 1);
        if (va_last < first_ || va > last_) return true;
        if (report_.nodes >= max_nodes_ || deadline_.passed()) return end(WalkEnd::budget, va);
        ++report_.nodes;
        const walk::Entry entry = walk::decode(mode_, level, raw);
        if (entry.malformed) return true;  // the CPU would fault: nothing is mapped here
        may.writable = may.writable && entry.writable;
        may.user = may.user && entry.user;
        may.executable = may.executable && entry.executable;
        if (entry.large || level.shift == 12) return add_leaf(entry, may, va, va_last);
        return walk_table(depth + 1, entry.frame, va, may);
    }

    PhysicalMemory& memory_;
    PagingMode mode_;
    std::span<const walk::Level> levels_;
    std::uint64_t first_;
    std::uint64_t last_;
    std::size_t max_nodes_;
    Deadline deadline_;
    FunctionRef<bool(const MappedRun&)> visit_;
    WalkReport report_;
    std::optional<MappedRun> pending_;
    std::optional<std::uint64_t> unreadable_;  // the first virtual address of the first table that could not be read
};

// Without paging, linear addresses are physical ones; only RAM can be said to be mapped.
WalkReport for_each_unpaged(PhysicalMemory& memory, Gva first, Gva last, FunctionRef<bool(const MappedRun&)> visit) {
    WalkReport report;
    const std::uint64_t top = std::min<std::uint64_t>(last.value, 0xffff'ffff);
    if (first.value > top) return report;
    for (const MemoryRange& range : memory.PhysicalMemory::populated({Gpa{first.value}, top - first.value + 1})) {
        ++report.nodes;
        report.last_address = range.start.value;
        if (visit({Gva{range.start.value}, range.start, range.size, true, true, true})) continue;
        report.end = WalkEnd::stopped;
        break;
    }
    return report;
}

}  // namespace

WalkReport for_each_mapping(PhysicalMemory& memory, PagingMode mode, Gpa root, Gva first, Gva last, WalkBudget budget,
                            FunctionRef<bool(const MappedRun&)> visit) {
    if (first > last) return {};
    if (mode == PagingMode::none) return for_each_unpaged(memory, first, last, visit);
    return Enumerator(memory, mode, first.value, last.value, budget, visit).run(walk::root_table(mode, root));
}

}  // namespace vitrine
