// Damages of single objects: threads, modules, processes and what belongs to them.
#include "support/synthetic_guest_damage.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vitrine::test {
namespace {

using G = SyntheticGuest;
using namespace damage;

constexpr std::uint64_t kArgumentsEnd = SyntheticGuest::kArguments.value + (1ull << 60);

void threads_in_a_circle(SyntheticGuest& g) {
    const SyntheticTask& task = user_task(g);
    const Gva node = g.member(task.address, "task_struct.thread_node");
    const Gva second{g.get<std::uint64_t>(node)};
    const Gva third{g.get<std::uint64_t>(second)};
    g.put(third, second);  // and never back to the head
    g.put(second.wrap_plus(8), third);
}

// All modules share one table of symbols, as large as a module's may be, whose names are all the same long string.
void module_symbols_aliased(SyntheticGuest& g) {
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

void cmdline_over_aliased_pages(SyntheticGuest& g) {
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

void entries_in_a_circle(SyntheticGuest& g) {
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
void mounts_in_a_circle(SyntheticGuest& g) {
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

Gva exe_name(const SyntheticGuest& g) {
    const Gva path = g.member(user_task(g).exe_file, "file.f_path");
    return g.member(Gva{g.get<std::uint64_t>(g.member(path, "path.dentry"))}, "dentry.d_name");
}

}  // namespace

Gva damage::module_link(const SyntheticGuest& g, std::size_t i) {
    return g.member(g.modules.at(i).address, "module.list");
}

DamagesByName damage::of_threads_and_modules() {
    return {
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
    };
}

DamagesByName damage::of_processes() {
    return {
        {"comm_without_end",
         [](G& g) { g.put_text(g.member(user_task(g).address, "task_struct.comm"), std::string(16, 'C')); }},
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
    };
}

}  // namespace vitrine::test
