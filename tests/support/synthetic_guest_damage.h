// Ways in which a guest's memory can be wrong or hostile, by name: what the line `damage = NAME` in a description stands for.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "support/synthetic_guest.h"

namespace vitrine::test {

using Damage = std::function<void(SyntheticGuest&)>;

namespace damage {

inline constexpr std::uint64_t kArgumentsEnd = SyntheticGuest::kArguments.value + (1ull << 60);
inline constexpr Gva kNowhere{0xffff'a000'dead'0000};  // canonical and mapped by nothing here

inline Gva tasks_link(const SyntheticGuest& g, std::size_t i) {
    return g.member(g.tasks.at(i).address, "task_struct.tasks");
}
inline Gva module_link(const SyntheticGuest& g, std::size_t i) {
    return g.member(g.modules.at(i).address, "module.list");
}
inline const SyntheticTask& user_task(const SyntheticGuest& g) { return g.tasks.at(3); }

// Every entry of this table points at the table itself.
inline void map_to_itself(SyntheticGuest& g, Gpa table) {
    for (std::uint64_t i = 0; i < 512; ++i) g.ram.write_value(table.wrap_plus(i * 8), table.value | 0x67);
}

// One 2 MiB frame, full of the letter A, seen 1000 times in a row: a string without an end.
inline Gva endless_string(SyntheticGuest& g) {
    constexpr Gva kWhere{0xffff'b000'0000'0000};
    const Gpa frame{g.d.ram.back().start.value + g.d.ram.back().size - (2u << 20)};
    const std::vector<std::byte> page(kPageSize, std::byte{'A'});
    for (std::uint64_t at = 0; at < 2u << 20; at += kPageSize) g.ram.write(frame.wrap_plus(at), page);
    // Two page-table pages are enough for it.
    const Gpa directory = g.tables().allocate();
    const Gpa pointers = g.tables().allocate();
    for (std::uint64_t i = 0; i < 512; ++i) g.ram.write_value(directory.wrap_plus(i * 8), frame.value | 0xe3);
    for (std::uint64_t i = 0; i < 2; ++i) g.ram.write_value(pointers.wrap_plus(i * 8), directory.value | 0x63);
    Gpa table = g.root();
    if (g.d.levels == 5) {
        const Gpa entry = g.tables().entry_address(table, kWhere, 5);
        if ((*g.ram.read_value<std::uint64_t>(entry) & 1) == 0)
            g.ram.write_value(entry, g.tables().allocate().value | 0x63);
        table = Gpa{*g.ram.read_value<std::uint64_t>(entry) & kPteAddressMask};
    }
    g.ram.write_value(g.tables().entry_address(table, kWhere, 4), pointers.value | 0x63);
    return kWhere;
}

inline void strings_without_end(SyntheticGuest& g) {
    const Gva text = endless_string(g);
    for (const SyntheticTask& task : g.tasks) {
        g.put_text(g.member(task.address, "task_struct.comm"), std::string(16, 'A'));
        if (!task.full_name.empty())
            g.set(Gva{g.get<std::uint64_t>(g.member(task.address, "task_struct.worker_private"))}, "kthread.full_name",
                  text);
    }
    for (const SyntheticModule& module : g.modules)
        g.put_text(g.member(module.address, "module.name"), std::string(56, 'A'));
    g.put_text(g.member(g.symbol("init_task"), "task_struct.comm"), "swapper/0AAAAAAA");
}

inline void cmdline_over_aliased_pages(SyntheticGuest& g) {
    const SyntheticTask& task = user_task(g);
    // All of the lower half of the process's address space is one page.
    const Gpa frame = g.physical(g.alloc(kPageSize, kPageSize));
    g.ram.write(frame, std::vector<std::byte>(kPageSize, std::byte{'B'}));
    Gpa below = frame;
    for (unsigned level = 1; level < g.d.levels; ++level) {
        const Gpa table = g.physical(g.alloc(kPageSize, kPageSize));
        for (std::uint64_t i = 0; i < 512; ++i) g.ram.write_value(table.wrap_plus(i * 8), below.value | 0x67);
        below = table;
    }
    for (std::uint64_t i = 0; i < 256; ++i) g.ram.write_value(task.root.wrap_plus(i * 8), below.value | 0x67);
    g.set(task.mm, "mm_struct.arg_start", 0x1000ull);
    g.set(task.mm, "mm_struct.arg_end", 0x7000'0000'0000ull);
}

inline void entries_in_a_circle(SyntheticGuest& g) {
    const Gva path = g.member(user_task(g).exe_file, "file.f_path");
    const Gva leaf{g.get<std::uint64_t>(g.member(path, "path.dentry"))};
    const Gva parent{g.get<std::uint64_t>(g.member(leaf, "dentry.d_parent"))};
    g.set(parent, "dentry.d_parent", leaf);
    for (const Gva entry : {leaf, parent}) {  // of the longest names
        const Gva text = g.alloc(256);
        g.put_text(text, std::string(255, 'n'));
        g.set(g.member(entry, "dentry.d_name"), "qstr.name", text);
        g.set32(g.member(entry, "dentry.d_name"), "qstr.len", 255);
    }
}

// Two mounts, each mounted on the other's root: no name is ever added.
inline void mounts_in_a_circle(SyntheticGuest& g) {
    const Gva first = g.alloc(g.types.size("mount"));
    const Gva second = g.alloc(g.types.size("mount"));
    const Gva a = g.alloc(g.types.size("dentry"));
    const Gva b = g.alloc(g.types.size("dentry"));
    const auto mount = [&](Gva at, Gva root, Gva parent, Gva point) {
        g.set(g.member(at, "mount.mnt"), "vfsmount.mnt_root", root);
        g.set(at, "mount.mnt_parent", parent);
        g.set(at, "mount.mnt_mountpoint", point);
    };
    mount(first, a, second, b);
    mount(second, b, first, a);
    const Gva path = g.member(user_task(g).exe_file, "file.f_path");
    g.set(path, "path.mnt", g.member(first, "mount.mnt"));
    g.set(path, "path.dentry", a);
}

inline Gva exe_name(const SyntheticGuest& g) {
    const Gva path = g.member(user_task(g).exe_file, "file.f_path");
    return g.member(Gva{g.get<std::uint64_t>(g.member(path, "path.dentry"))}, "dentry.d_name");
}

inline void threads_in_a_circle(SyntheticGuest& g) {
    const SyntheticTask& task = user_task(g);
    const Gva node = g.member(task.address, "task_struct.thread_node");
    const Gva second{g.get<std::uint64_t>(node)};
    const Gva third{g.get<std::uint64_t>(second)};
    g.put(third, second);  // and never back to the head
    g.put(second.wrap_plus(8), third);
}

inline void absurd_vmcoreinfo(SyntheticGuest& g) {
    std::string text =
        "OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)=fffffffffffffff8\nNUMBER(phys_base)=-9223372036854775808\nNUMBER("
        "pgtable_l5_enabled)=99999999999999999999\n";
    text.resize(kPageSize, 'X');  // and no NUL at its end
    g.ram.write(g.vmcoreinfo_page, std::as_bytes(std::span(text)));
}

inline void many_forged_roots(SyntheticGuest& g) {
    // Three pages that look like a kernel's tables and map 2 MiB of nothing, and every free page a root of its own that leads there
    // through its own middle table.
    const Gpa leaf = g.tables().allocate();
    const Gpa directory = g.tables().allocate();
    for (std::uint64_t i = 8; i < 512; ++i) g.ram.write_value(directory.wrap_plus(i * 8), leaf.value | 0x63);
    for (std::uint64_t i = 0; i < 512; ++i) g.ram.write_value(leaf.wrap_plus(i * 8), (i * kPageSize) | 0x63);
    for (std::uint64_t at = g.heap_end().value / kPageSize * kPageSize + kPageSize; at + 2 * kPageSize <= g.ram.size();
         at += 2 * kPageSize) {
        g.ram.write_value(Gpa{at + 511 * 8}, (at + kPageSize) | 0x63);
        g.ram.write_value(Gpa{at + kPageSize + 510 * 8}, directory.value | 0x63);
        g.ram.write_value(Gpa{at + kPageSize + 511 * 8}, (at + kPageSize) | 0x63);
    }
}

// All modules share one table of symbols, as large as a module's may be, whose names are all the same long string.
inline void module_symbols_aliased(SyntheticGuest& g) {
    constexpr std::uint32_t kSymbols = 1u << 17;
    const Gva table = g.alloc(kSymbols * 24);
    const Gva name = g.alloc(512);
    g.put_text(name, std::string(511, 'A') + '\0');
    struct {
        std::uint32_t name = 0;
        std::uint8_t info = 'T', other = 0;
        std::uint16_t section = 1;
        std::uint64_t value = SyntheticGuest::kModules, size = 0;
    } const symbol;
    static_assert(sizeof symbol == 24);
    const auto bytes = std::as_bytes(std::span(&symbol, 1));
    for (std::uint32_t i = 0; i < kSymbols; ++i) g.ram.write(g.physical(table.wrap_plus(i * 24)), bytes);
    for (const auto& m : g.modules) {
        g.set(m.kallsyms, "mod_kallsyms.symtab", table);
        g.set(m.kallsyms, "mod_kallsyms.strtab", name);
        g.set32(m.kallsyms, "mod_kallsyms.num_symtab", kSymbols);
    }
}

}  // namespace damage

inline const std::map<std::string, Damage, std::less<>>& damages() {
    using G = SyntheticGuest;
    using namespace damage;
    static const std::map<std::string, Damage, std::less<>> all = {
        {"banner", [](G& g) { g.put_string(g.symbol("linux_banner"), "Minix version 3"); }},
        {"phys_base",
         [](G& g) { g.put(g.symbol("phys_base"), g.get<std::uint64_t>(g.symbol("phys_base")) + 0x20'0000); }},
        {"init_top_pgt", [](G& g) { g.ram.write_value(g.root().wrap_plus(511 * 8), std::uint64_t{0}); }},
        {"btf_decoys",
         [](G& g) {
             // A header alone, one whose sections reach far, and one whose types are none.
             const std::uint32_t headers[][6] = {{0x0001eb9f, 24, 0, 0, 0, 1},
                                                 {0x0001eb9f, 24, 0, 0x4000'0000, 0x4000'0000, 16},
                                                 {0x0001eb9f, 24, 0, 0x9'0000, 0x9'0000, 0x1000}};
             for (std::uint64_t i = 0; i < std::size(headers); ++i)
                 g.ram.write(g.physical(g.btf.wrap_minus(0x400 - i * 0x100)), std::as_bytes(std::span(headers[i])));
         }},
        {"btf_magic", [](G& g) { g.put(g.btf, std::uint16_t{0x1234}); }},
        {"btf_cut_short",
         [](G& g) {
             g.ram.write(g.physical(g.btf.wrap_plus(g.btf_size / 2)), std::vector<std::byte>(g.btf_size / 2));
         }},
        {"init_task_name", [](G& g) { g.put_string(g.member(g.symbol("init_task"), "task_struct.comm"), "idle"); }},
        {"task_list_empty",
         [](G& g) {
             g.put(tasks_link(g, 0), tasks_link(g, 0));
             g.put(tasks_link(g, 0).wrap_plus(8), tasks_link(g, 0));
         }},
        {"task_list_torn", [](G& g) { g.put(tasks_link(g, 4).wrap_plus(8), kNowhere); }},
        {"task_list_self_loop", [](G& g) { g.put(tasks_link(g, 4), tasks_link(g, 4)); }},
        {"task_list_self_loop_forged",
         [](G& g) {
             g.put(tasks_link(g, 4), tasks_link(g, 4));
             g.put(tasks_link(g, 4).wrap_plus(8), tasks_link(g, 4));
         }},
        {"task_list_loops_to_middle",
         [](G& g) {
             const std::size_t last = g.tasks.size() - 1;
             g.put(tasks_link(g, last), tasks_link(g, 3));
         }},
        {"task_list_loops_to_middle_forged",
         [](G& g) {
             const std::size_t last = g.tasks.size() - 1;
             g.put(tasks_link(g, last), tasks_link(g, 3));
             g.put(tasks_link(g, 3).wrap_plus(8), tasks_link(g, last));
         }},
        {"task_list_into_nothing", [](G& g) { g.put(tasks_link(g, 4), kNowhere); }},
        {"task_list_not_canonical", [](G& g) { g.put(tasks_link(g, 4), Gva{0x4141'4141'4141'4141}); }},
        {"task_list_wraps", [](G& g) { g.put(tasks_link(g, 4), Gva{0xffff'ffff'ffff'fff8}); }},
        {"comm_without_end",
         [](G& g) { g.put_text(g.member(user_task(g).address, "task_struct.comm"), std::string(16, 'C')); }},
        {"threads_in_a_circle", threads_in_a_circle},
        {"threads_self_loop",
         [](G& g) {
             const Gva node = g.member(user_task(g).address, "task_struct.thread_node");
             g.put(node, node);
         }},
        {"threads_into_nothing", [](G& g) { g.set(user_task(g).address, "task_struct.signal", kNowhere); }},
        {"modules_in_a_circle", [](G& g) { g.put(module_link(g, 2), module_link(g, 1)); }},
        {"modules_in_a_forged_circle",
         [](G& g) {
             g.put(module_link(g, 2), module_link(g, 1));
             g.put(module_link(g, 1).wrap_plus(8), module_link(g, 2));
         }},
        {"modules_self_loop", [](G& g) { g.put(module_link(g, 1), module_link(g, 1)); }},
        {"modules_into_nothing", [](G& g) { g.put(g.symbol("modules"), kNowhere); }},
        {"module_sizes_huge",
         [](G& g) {
             for (std::uint64_t i = 0; i < 7; ++i) {
                 g.set32(g.member(g.modules[0].address, "module.mem").wrap_plus(i * g.types.size("module_memory")),
                         "module_memory.size", 0xffff'ffff);
             }
         }},
        {"module_symbols_huge",
         [](G& g) {
             for (const auto& m : g.modules) g.set32(m.kallsyms, "mod_kallsyms.num_symtab", 0xffff'ffff);
         }},
        {"module_symbols_aliased", module_symbols_aliased},
        {"module_users_in_a_circle",
         [](G& g) {
             const Gva head = g.member(g.modules[0].address, "module.source_list");
             const Gva use{g.get<std::uint64_t>(head)};
             g.put(use, use);
             g.put(use.wrap_plus(8), use);
         }},
        {"cmdline_huge", [](G& g) { g.set(user_task(g).mm, "mm_struct.arg_end", kArgumentsEnd); }},
        {"cmdline_over_aliased_pages", cmdline_over_aliased_pages},
        {"mm_into_nothing", [](G& g) { g.set(user_task(g).address, "task_struct.mm", kNowhere); }},
        {"user_tables_self_map", [](G& g) { map_to_itself(g, user_task(g).root); }},
        {"entries_in_a_circle", entries_in_a_circle},
        {"mounts_in_a_circle", mounts_in_a_circle},
        {"entry_name_huge", [](G& g) { g.set32(exe_name(g), "qstr.len", 0xffff'ffff); }},
        {"entry_name_into_nothing", [](G& g) { g.set(exe_name(g), "qstr.name", kNowhere); }},
        {"pid_level_huge", [](G& g) { g.set32(user_task(g).thread_pid, "pid.level", 0xffff'ffff); }},
        {"pid_level_deepest", [](G& g) { g.set32(user_task(g).thread_pid, "pid.level", 32); }},
        {"all_roots_self_map",
         [](G& g) {
             for (const SyntheticTask& task : g.tasks) {
                 if (!task.root.is_null()) map_to_itself(g, task.root);
             }
             map_to_itself(g, g.root());
         }},
        {"strings_without_end", strings_without_end},
        {"absurd_vmcoreinfo", absurd_vmcoreinfo},
        {"e820_count_huge", [](G& g) { g.put(g.e820, std::uint32_t{0xffff'ffff}); }},
        {"e820_sizes_huge", [](G& g) { g.put(g.e820.wrap_plus(12), ~std::uint64_t{0}); }},
        {"e820_into_nothing", [](G& g) { g.put(g.symbol("e820_table"), kNowhere); }},
        {"many_forged_roots", many_forged_roots},
        {"build_id_note_huge",
         [](G& g) {
             g.put(g.symbol("__start_notes"), std::uint32_t{0xffff'fffd});
             g.put(g.symbol("__start_notes").wrap_plus(4), std::uint32_t{0xffff'fffd});
         }},
        {"clock_absurd",
         [](G& g) { g.ram.write(g.physical(g.symbol("tk_core")), std::vector<std::byte>(256, std::byte{0x7f})); }},
    };
    return all;
}

}  // namespace vitrine::test
