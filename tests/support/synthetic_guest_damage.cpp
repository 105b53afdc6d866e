#include "support/synthetic_guest_damage.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

namespace vitrine::test {
namespace {

using G = SyntheticGuest;
using namespace damage;

// One 2 MiB frame, full of the letter A, seen 1000 times in a row: a string without an end.
Gva endless_string(SyntheticGuest& g) {
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

void strings_without_end(SyntheticGuest& g) {
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

void absurd_vmcoreinfo(SyntheticGuest& g) {
    std::string text =
        "OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)=fffffffffffffff8\nNUMBER(phys_base)=-9223372036854775808\nNUMBER("
        "pgtable_l5_enabled)=99999999999999999999\n";
    text.resize(kPageSize, 'X');  // and no NUL at its end
    g.ram.write(g.vmcoreinfo_page, std::as_bytes(std::span(text)));
}

void many_forged_roots(SyntheticGuest& g) {
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

Gva tasks_link(const SyntheticGuest& g, std::size_t i) { return g.member(g.tasks.at(i).address, "task_struct.tasks"); }

DamagesByName of_the_kernel() {
    return {
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
    };
}

DamagesByName of_the_list_of_tasks() {
    return {
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
    };
}

DamagesByName of_the_machine() {
    return {
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
}

}  // namespace

void damage::map_to_itself(SyntheticGuest& g, Gpa table) {
    for (std::uint64_t i = 0; i < 512; ++i) g.ram.write_value(table.wrap_plus(i * 8), table.value | 0x67);
}

const DamagesByName& damages() {
    static const DamagesByName all = [] {
        DamagesByName sum;
        for (auto part : {of_the_kernel, of_the_list_of_tasks, of_threads_and_modules, of_processes, of_the_machine})
            sum.merge(part());
        return sum;
    }();
    return all;
}

}  // namespace vitrine::test
