#include "os/linux/vma_list.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "os/linux/maple_tree.h"
#include "os/linux/member_reader.h"
#include "os/linux/vma_members.h"

namespace vitrine::linux_os {
namespace {

using namespace mapping;

constexpr auto kMembers = std::to_array<MemberNeed>({
    // Linux commit 763ecb035029 "mm: remove the vma linked list" (v6.1).
    {"mm_struct", {"mm_mt"}, MemberShape::record, false},
    {"mm_struct", {"mmap"}, MemberShape::pointer, false},
    {"mm_struct", {"map_count"}, MemberShape::u32, false},
    {"vm_area_struct", {"vm_start"}, MemberShape::u64},
    {"vm_area_struct", {"vm_end"}, MemberShape::u64},
    {"vm_area_struct", {"vm_flags", "__vm_flags"}, MemberShape::u64},
    {"vm_area_struct", {"vm_page_prot"}, MemberShape::u64, false},
    {"vm_area_struct", {"vm_pgoff"}, MemberShape::u64},
    {"vm_area_struct", {"vm_file"}, MemberShape::pointer},
    {"vm_area_struct", {"vm_ops"}, MemberShape::pointer},
    {"vm_area_struct", {"vm_private_data"}, MemberShape::pointer},
    {"vm_area_struct", {"vm_mm"}, MemberShape::pointer},
    {"vm_area_struct", {"vm_next"}, MemberShape::pointer, false},
    {"vm_area_struct", {"vm_prev"}, MemberShape::pointer, false},
    // CONFIG_ANON_VMA_NAME, Linux commit 9a10064f5625 "mm: add a field to store names for private anonymous memory" (v5.17).
    {"vm_area_struct", {"anon_name"}, MemberShape::pointer, false},
    {"vm_area_struct", {"shared"}, MemberShape::record, false},
    {"mm_struct", {"start_brk"}, MemberShape::u64},
    {"mm_struct", {"brk"}, MemberShape::u64},
    {"mm_struct", {"start_stack"}, MemberShape::u64},
    {"mm_struct", {"context.flags"}, MemberShape::number, false},
    {"mm_struct", {"context.ia32_compat"}, MemberShape::number, false},
    {"vm_operations_struct", {"name"}, MemberShape::pointer, false},
    {"vm_special_mapping", {"name"}, MemberShape::pointer, false},
    {"anon_vma_name", {"name"}, MemberShape::array, false},
    {"file", {"f_mode"}, MemberShape::number, false},
    {"file", {"f_inode"}, MemberShape::pointer, false},
    // Linux commit def3ae83da02 "fs: store real path instead of fake path in backing file f_path" (v6.7).
    {"backing_file", {"user_path"}, MemberShape::record, false},
    {"inode", {"i_ino"}, MemberShape::number, false},
    {"inode", {"i_sb"}, MemberShape::pointer, false},
    {"super_block", {"s_dev"}, MemberShape::u32, false},
    {"path", {"dentry"}, MemberShape::pointer, false},
    {"dentry", {"d_inode"}, MemberShape::pointer, false},
});
static_assert(kMembers.size() == kDentryInode + 1);

constexpr unsigned kRetries = 8;
constexpr std::size_t kMostOddities = 8;
constexpr std::size_t kVmaBytes = 1024;
constexpr std::size_t kReadTogether = 32;

bool is_torn(const MappingList& list) {
    return list.report.end == WalkEnd::inconsistent || list.report.end == WalkEnd::fault ||
           list.report.end == WalkEnd::cycle || !list.oddities.empty();
}

// Mappings of one mm_struct, read many at a time.
class VmaCopies {
public:
    explicit VmaCopies(const Members& members) : members_(members) {
        // Each is read as 8 bytes, whatever size the guest's types give it.
        for (const std::size_t i :
             {kStart, kEnd, kFlags, kPageOffset, kProtection, kFile, kOperations, kPrivateData, kAnonymousName, kMm}) {
            if (members.has(i)) size_ = std::max<std::size_t>(size_, members.at(i) + sizeof(std::uint64_t));
        }
    }

    // At most kReadTogether.
    void read(const AddressSpace& space, std::span<const Gva> vmas) {
        good_ = {};
        if (size_ > kVmaBytes) return;
        bytes_.resize(std::max(bytes_.size(), vmas.size() * size_));
        std::array<VirtualReadOp, kReadTogether> ops;
        for (std::size_t i = 0; i < vmas.size(); ++i) {
            addresses_[i] = vmas[i];
            ops[i] = {vmas[i], std::span(bytes_).subspan(i * size_, size_)};
        }
        const bool answered = space.read_batch(std::span(ops).first(vmas.size())).has_value();
        for (std::size_t i = 0; i < vmas.size(); ++i) good_[i] = answered && ops[i].ok;
    }
    // nullopt: it cannot be read.
    [[nodiscard]] std::optional<Vma> vma(std::size_t index) const {
        if (!good_[index]) return std::nullopt;
        const auto word = [&](std::size_t member) {
            return members_.has(member) ? load<std::uint64_t>(bytes_.data() + index * size_ + members_.at(member)) : 0;
        };
        Vma vma;
        vma.address = addresses_[index];
        vma.start = word(kStart);
        vma.end = word(kEnd);
        vma.flags = word(kFlags);
        vma.page_offset = word(kPageOffset);
        if (members_.has(kProtection)) vma.page_protection = word(kProtection);
        vma.file = Gva{word(kFile)};
        vma.operations = Gva{word(kOperations)};
        vma.private_data = Gva{word(kPrivateData)};
        vma.owner = Gva{word(kMm)};
        // In place of what links a mapping with its file before Linux commit d09e8ca6cb93 "mm: anonymous shared memory naming" (v6.2).
        const bool is_name = vma.file.is_null() || members_.offset(kAnonymousName) != members_.offset(kShared);
        if (is_name) vma.anonymous_name = Gva{word(kAnonymousName)};
        return vma;
    }

private:
    const Members& members_;
    std::size_t size_ = 0;
    std::vector<std::byte> bytes_;
    std::array<Gva, kReadTogether> addresses_{};
    std::array<bool, kReadTogether> good_{};
};

// One walk over the mappings of one mm_struct.
class Walk {
public:
    Walk(const AddressSpace& space, const Members& members, const Members* tree, Gva mm, WalkBudget budget)
        : space_(space), members_(members), tree_(tree), mm_(mm), budget_(budget) {
        budget_.nodes = std::min(budget_.nodes, kMostMappings);
    }

    MappingList run() {
        if (tree_ != nullptr) walk_tree();
        else walk_list();
        if (list_.report.end == WalkEnd::complete) check_count();
        return std::move(list_);
    }

private:
    void odd(std::string text) {
        if (list_.oddities.size() < kMostOddities) list_.oddities.push_back(std::move(text));
    }

    // What the tree says is there.
    struct Entry {
        Gva vma;
        std::uint64_t first = 0, last = 0;
    };

    void walk_tree() {
        const MapleTree tree(space_, *tree_, mm_.wrap_plus(members_.at(kTree)));
        std::vector<Entry> entries;
        list_.report = tree.for_each(budget_, [&](Gva at, std::uint64_t first, std::uint64_t last) {
            entries.push_back({at, first, last});
            return true;
        });
        list_.mappings.reserve(entries.size());
        VmaCopies copies(members_);
        for (std::size_t begin = 0; begin < entries.size(); begin += kReadTogether) {
            const auto rest = std::span(entries).subspan(begin);
            read_entries(rest.first(std::min(rest.size(), kReadTogether)), copies);
        }
    }

    void read_entries(std::span<const Entry> entries, VmaCopies& copies) {
        std::array<Gva, kReadTogether> addresses;
        for (std::size_t i = 0; i < entries.size(); ++i) addresses[i] = entries[i].vma;
        copies.read(space_, std::span(addresses).first(entries.size()));
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const auto& [at, first, last] = entries[i];
            const auto vma = copies.vma(i);
            if (!vma) {
                odd(fmt::format("the mapping of {:#x} cannot be read", first));
                continue;
            }
            if (vma->start != first || vma->end - 1 != last)
                odd(fmt::format("a mapping says {:#x}-{:#x}, the tree {:#x}-{:#x}", vma->start, vma->end, first,
                                last + 1));
            accept(*vma);
        }
    }

    void walk_list() {
        Deadline deadline(budget_.time);
        const auto ended = [&](WalkEnd end, Gva where) {
            list_.report.end = end;
            list_.report.last_address = where.value;
        };
        const auto first = space_.read_pointer(mm_.wrap_plus(members_.at(kList)));
        if (!first) return ended(WalkEnd::fault, mm_);
        const MemberReader read(space_, members_);
        VmaCopies copies(members_);
        // Brent's algorithm, as in walk_list(): addresses that rise would do for honest mappings only.
        Gva previous, tortoise;
        std::size_t steps = 0, limit = 2;
        for (Gva at = *first; !at.is_null();) {
            if (list_.report.nodes >= budget_.nodes || deadline.passed()) return ended(WalkEnd::budget, at);
            if (at == tortoise) return ended(WalkEnd::cycle, at);
            if (++steps == limit) {
                steps = 0;
                limit *= 2;
                tortoise = at;
            }
            copies.read(space_, std::span<const Gva>(&at, 1));
            const auto vma = copies.vma(0);
            const auto next = read.pointer(at, kNext);
            if (!vma || !next) return ended(WalkEnd::fault, at);
            if (members_.has(kPrevious) && read.pointer(at, kPrevious) != previous)
                return ended(WalkEnd::inconsistent, at);
            ++list_.report.nodes;
            accept(*vma);
            previous = at;
            at = *next;
        }
    }

    void accept(const Vma& vma) {
        if (vma.start >= vma.end || (vma.start | vma.end) % kPageSize != 0 || vma.start < end_)
            odd(fmt::format("a mapping {:#x}-{:#x} is none, or overlaps the one before", vma.start, vma.end));
        if (vma.owner != mm_) odd(fmt::format("the mapping {:#x}-{:#x} is another process's", vma.start, vma.end));
        end_ = std::max(end_, vma.end);
        list_.mappings.push_back(vma);
    }

    void check_count() {
        const auto count = MemberReader(space_, members_).number(mm_, kCount);
        if (count && *count != list_.report.nodes)
            odd(fmt::format("{} mappings, where mm_struct.map_count says {}", list_.report.nodes, *count));
    }

    const AddressSpace& space_;
    const Members& members_;
    const Members* tree_;
    Gva mm_;
    WalkBudget budget_;
    std::uint64_t end_ = 0;
    MappingList list_;
};

}  // namespace

const NeedGroup kMappingMembers{"memory maps", kMembers};

std::optional<Vma> read_vma(const AddressSpace& space, const Members& members, Gva at) {
    VmaCopies copies(members);
    copies.read(space, std::span<const Gva>(&at, 1));
    return copies.vma(0);
}

MappingList walk_mappings(const AddressSpace& space, const Members& members, const Members* tree, Gva mm,
                          WalkBudget budget) {
    return Walk(space, members, tree, mm, budget).run();
}

Result<MappingList> list_mappings(LinuxGuest& guest, Gva mm, WalkBudget budget) {
    const Members& members = *VITRINE_TRY(guest.members(kMappingMembers));
    const Members* tree = nullptr;
    if (members.has(kTree)) {
        tree = VITRINE_TRY(guest.members(kMapleTreeMembers));
    } else if (!members.has(kList) || !members.has(kNext)) {
        return Error::with_text(Errc::not_found, Origin::types,
                                "this kernel's types tell of neither mm_struct.mm_mt nor mm_struct.mmap");
    }
    MappingList longest;
    const auto begin = std::chrono::steady_clock::now();
    const std::chrono::milliseconds all = budget.time;
    for (unsigned attempt = 0;; ++attempt) {
        // All attempts together have the time of one.
        const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                                begin);
        budget.time = std::max(all - gone, std::chrono::milliseconds(0));
        MappingList list = walk_mappings(guest.space(), members, tree, mm, budget);
        list.report.retries = attempt;
        const bool torn = is_torn(list);
        if (attempt == 0 || !torn || list.mappings.size() >= longest.mappings.size()) longest = std::move(list);
        if (!torn || attempt == kRetries || !guest.machine().is_live()) return longest;
        guest.new_generation();
    }
}

}  // namespace vitrine::linux_os
