// A kernel with tables of descriptors, mounts and trees, and nothing else.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "support/btf_writer.h"
#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::test::file_walks {

using vitrine::testing::PageTableBuilder;
using vitrine::testing::SyntheticMemory;

inline constexpr std::uint64_t kSize = 16u << 20;
inline constexpr Gva kBase{0xffff'8880'0000'0000};
inline constexpr std::uint64_t kLink = 8;  // where the links are in all of the structures below

// The structures that the walks read, as an old kernel has them (mounts in a list) or a new one (in a tree).
inline std::shared_ptr<const TypeCatalog> catalog(bool tree) {
    BtfWriter w;
    const auto u32 = w.integer("unsigned int", 4);
    const auto u64 = w.integer("unsigned long", 8);
    const auto u16 = w.integer("unsigned short", 2);
    const auto pointer = w.pointer(0);
    const auto list = w.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}});
    const auto node = w.structure(
        "rb_node", 24, {{"__rb_parent_color", u64, 0}, {"rb_right", pointer, 64}, {"rb_left", pointer, 128}});
    const auto root = w.structure("rb_root", 8, {{"rb_node", pointer, 0}});
    w.structure("files_struct", 16, {{"count", u32, 0}, {"fdt", pointer, 64}});
    w.structure(
        "fdtable", 32,
        {{"max_fds", u32, 0}, {"fd", pointer, 64}, {"close_on_exec", pointer, 128}, {"open_fds", pointer, 192}});
    w.structure("inode", 8, {{"i_mode", u16, 0}});
    w.structure("file", 8, {{"f_inode", pointer, 0}});
    w.structure("nsproxy", 8, {{"mnt_ns", pointer, 0}});
    const auto common = w.structure("ns_common", 8, {{"inum", u32, 0}});
    if (tree) {
        w.structure("mnt_namespace", 16, {{"ns", common, 0}, {"mounts", root, 64}});
        w.structure("mount", 32, {{"mnt_id", u32, 0}, {"mnt_node", node, 64}});
    } else {
        w.structure("mnt_namespace", 32, {{"ns", common, 0}, {"list", list, 64}, {"mounts", u32, 192}});
        const auto vfsmount = w.structure("vfsmount", 8, {{"mnt_flags", u32, 0}});
        w.structure("mount", 32, {{"mnt_id", u32, 0}, {"mnt_list", list, 64}, {"mnt", vfsmount, 192}});
    }
    return *parse_btf(w.blob(), "test");
}

class Kernel {
public:
    explicit Kernel(bool tree = false) : types(catalog(tree)), memory(kSize) {
        PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{kSize - (1u << 20)});
        tables.map_range(kBase, Gpa{0}, 8u << 20, 2u << 20);
        root_ = tables.root();
        space = std::make_unique<AddressSpace>(memory, PagingMode::x86_64_4level, root_);
    }
    Gva alloc(std::uint64_t size) {
        const Gva at = kBase.wrap_plus(next_);
        next_ += (size + 63) / 64 * 64;
        return at;
    }
    // By itself, so that nothing else lies in its page.
    Gva alloc_page() {
        next_ = (next_ + kPageSize - 1) / kPageSize * kPageSize;
        return alloc(kPageSize);
    }
    [[nodiscard]] Gpa physical(Gva at) const { return Gpa{at.value - kBase.value}; }
    void put(Gva at, std::uint64_t value) { memory.write_value(Gpa{at.value - kBase.value}, value); }
    void put32(Gva at, std::uint32_t value) { memory.write_value(Gpa{at.value - kBase.value}, value); }
    [[nodiscard]] Members members(const NeedGroup& group) const { return *resolve_members(*types, group); }

    // A files_struct with a table of that many slots at `slots`.
    Gva files(std::uint32_t count, Gva slots, Gva open, Gva close) {
        const Gva table = alloc(32);
        put32(table, count);
        put(table.wrap_plus(8), slots.value);
        put(table.wrap_plus(16), close.value);
        put(table.wrap_plus(24), open.value);
        const Gva files = alloc(16);
        put(files.wrap_plus(8), table.value);
        return files;
    }
    void link(Gva one, Gva other) {
        put(one, other.value);
        put(other.wrap_plus(8), one.value);
    }
    void node(Gva at, Gva parent, Gva left, Gva right, bool black = true) {
        put(at, parent.value | (black ? 1 : 0));
        put(at.wrap_plus(8), right.value);
        put(at.wrap_plus(16), left.value);
    }

    std::shared_ptr<const TypeCatalog> types;
    SyntheticMemory memory;
    std::unique_ptr<AddressSpace> space;

private:
    Gpa root_;
    std::uint64_t next_ = 0x1000;
};

}  // namespace vitrine::test::file_walks
