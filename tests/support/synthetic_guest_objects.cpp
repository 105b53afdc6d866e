// What a made-up guest's kernel holds: tasks and modules.
#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "support/synthetic_guest.h"

namespace vitrine::test {

// A circle of list_heads in this order; the first is the head.
void SyntheticGuest::link(const std::vector<Gva>& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const Gva next = nodes[(i + 1) % nodes.size()];
        put(nodes[i], next);
        put(next.wrap_plus(8), nodes[i]);
    }
}

SyntheticTask SyntheticGuest::new_task(std::int32_t pid, std::int32_t tgid, std::int32_t parent, bool kernel, Gva at) {
    SyntheticTask task;
    task.address = at;
    task.pid = pid;
    task.tgid = tgid;
    task.parent = parent;
    task.kernel = kernel;
    task.start = static_cast<std::uint64_t>(pid) * 1'000'000'000 + 7;
    task.comm = pid == 0   ? "swapper/0"
                : pid == 1 ? "init"
                : pid == 2 ? "kthreadd"
                           : fmt::format("{}{}", kernel ? "kworker_u" : "daemon", pid);
    set32(at, "task_struct.pid", static_cast<std::uint32_t>(pid));
    set32(at, "task_struct.tgid", static_cast<std::uint32_t>(tgid));
    put_string(member(at, "task_struct.comm"), task.comm);
    set32(at, "task_struct.flags", kernel ? 0x0020'0000 : 0x0040'0000);
    set32(at, d.types.new_state_name ? "task_struct.__state" : "task_struct.state", pid == 1 ? 0 : 1);
    set32(at, "task_struct.exit_state", 0);
    set32(at, "task_struct.static_prio", 120 + static_cast<std::uint32_t>(pid % 3));
    set(at, "task_struct.start_boottime", task.start);
    return task;
}

void SyntheticGuest::fill_identity(SyntheticTask& task) {
    task.uid = task.kernel || task.pid == 1 ? 0 : 1000 + static_cast<std::uint32_t>(task.pid);
    task.cred = task.pid == 0 ? symbol("init_cred") : alloc(types.size("cred"));
    for (const char* id : {"cred.uid", "cred.gid", "cred.suid", "cred.sgid", "cred.euid", "cred.egid"})
        set32(task.cred, id, task.uid);
    task.thread_pid = task.pid == 0 ? symbol("init_struct_pid") : alloc(types.size("pid") + 2 * types.size("upid"));
    set32(task.thread_pid, "pid.level", 0);
    put(member(task.thread_pid, "pid.numbers").wrap_plus(types.offset("upid.nr")), task.pid);
    task.signal = task.pid == 0 ? symbol("init_signals") : alloc(types.size("signal_struct"));
    for (std::uint64_t i = 0; i < 4; ++i)
        put(member(task.signal, "signal_struct.pids").wrap_plus(8 * i), task.thread_pid);
    set(task.address, "task_struct.real_cred", task.cred);
    set(task.address, "task_struct.cred", task.cred);
    set(task.address, "task_struct.thread_pid", task.thread_pid);
    set(task.address, "task_struct.signal", task.signal);
    set(task.address, "task_struct.group_leader", task.address);
    const Gva fs = task.pid == 0 ? symbol("init_fs") : alloc(types.size("fs_struct"));
    task.cwd = task.kernel ? "/" : "/home/user" + std::to_string(task.pid);
    set_path(member(fs, "fs_struct.root"), "/");
    set_path(member(fs, "fs_struct.pwd"), task.cwd);
    set(task.address, "task_struct.fs", fs);
    if (!task.kernel || task.pid == 0) return;
    task.full_name = task.pid == 2 ? task.comm : task.comm + "-with-a-long-name";
    const Gva kthread = alloc(types.size("kthread"));
    const Gva text_at = alloc(task.full_name.size() + 1, 8);
    put_string(text_at, task.full_name);
    set(kthread, "kthread.full_name", text_at);
    set(task.address, "task_struct.worker_private", kthread);
}

void SyntheticGuest::fill_user(SyntheticTask& task) {
    task.path = task.pid == 1 ? "/sbin/init" : fmt::format("/usr/lib/daemon{}/bin/run", task.pid);
    task.cmdline = fmt::format("{} --number {}", task.path, task.pid);
    std::string arguments = task.cmdline;
    std::replace(arguments.begin(), arguments.end(), ' ', '\0');
    const Gva page = alloc(kPageSize, kPageSize);
    put_string(page, arguments);
    // Behind the arguments, as execve() lays them out.
    const std::string variables = fmt::format("HOME=/home/user{}{}EMPTY={}A=B=C{}no equals sign", task.pid, '\0', '\0',
                                              '\0');
    const std::uint64_t environment = arguments.size() + 1;
    put_string(page.wrap_plus(environment), variables);
    task.root = process_tables(physical(page));
    task.mm = alloc(types.size("mm_struct"));
    set(task.mm, "mm_struct.pgd", direct(task.root));
    set(task.mm, "mm_struct.arg_start", kArguments);
    set(task.mm, "mm_struct.arg_end", kArguments.wrap_plus(arguments.size() + 1));
    set(task.mm, "mm_struct.env_start", kArguments.wrap_plus(environment));
    set(task.mm, "mm_struct.env_end", kArguments.wrap_plus(environment + variables.size() + 1));
    set(task.mm, "mm_struct.total_vm", 1000 + static_cast<std::uint64_t>(task.pid));
    const std::uint64_t stride = d.types.percpu_rss ? types.size("percpu_counter") : 8;
    const std::uint64_t count = d.types.percpu_rss ? types.offset("percpu_counter.count") : 0;
    for (const std::uint64_t kind : {0u, 1u, 3u})
        put(member(task.mm, "mm_struct.rss_stat").wrap_plus(kind * stride + count), std::int64_t{10});
    task.exe_file = alloc(types.size("file"));
    set_path(member(task.exe_file, "file.f_path"), task.path);
    set(task.mm, "mm_struct.exe_file", task.exe_file);
    set(task.address, "task_struct.mm", task.mm);
    set(task.address, "task_struct.active_mm", task.mm);
}

void SyntheticGuest::make_tasks() {
    std::vector<Gva> list;
    std::int32_t next_pid = 3;
    for (unsigned i = 0; i < d.tasks; ++i) {
        const bool kernel = i == 0 || i == 2 || (i > 2 && i % 2 == 0);
        const std::int32_t pid = i < 3 ? static_cast<std::int32_t>(i) : next_pid++;
        const std::int32_t parent = i < 3 ? 0 : kernel ? 2 : 1;
        SyntheticTask task = new_task(pid, pid, parent, kernel,
                                      i == 0 ? symbol("init_task") : alloc(types.size("task_struct")));
        fill_identity(task);
        if (!kernel) fill_user(task);
        list.push_back(member(task.address, "task_struct.tasks"));
        std::vector<Gva> threads = {member(task.signal, "signal_struct.thread_head"),
                                    member(task.address, "task_struct.thread_node")};
        task.threads = {pid};
        const unsigned more = !kernel && i % 3 == 0 ? d.threads : 0;
        for (unsigned t = 0; t < more; ++t) {
            const SyntheticTask thread = new_task(next_pid++, pid, parent, false, alloc(types.size("task_struct")));
            for (const char* shared : {"task_struct.signal", "task_struct.mm", "task_struct.real_cred",
                                       "task_struct.cred", "task_struct.fs", "task_struct.thread_pid"}) {
                set(thread.address, shared, get<std::uint64_t>(member(task.address, shared)));
            }
            threads.push_back(member(thread.address, "task_struct.thread_node"));
            task.threads.push_back(thread.pid);
        }
        link(threads);
        set32(task.signal, "signal_struct.nr_threads", 1 + more);
        tasks.push_back(task);
        const auto parent_at = std::find_if(tasks.begin(), tasks.end(),
                                            [&](const SyntheticTask& t) { return t.pid == parent; });
        set(task.address, "task_struct.real_parent", parent_at->address);
    }
    link(list);
}

void SyntheticGuest::make_modules() {
    std::vector<Gva> list = {symbol("modules")};
    // In the module area, where every module of a real kernel lies.
    const auto in_module_area = [&](Gva at) { return Gva{kModules + (physical(at).value - d.heap_pa)}; };
    for (unsigned i = 0; i < d.modules; ++i) {
        SyntheticModule module;
        module.address = in_module_area(alloc(types.size("module")));
        module.name = fmt::format("made_up_{}", i);
        module.base = Gva{kModules + 0x10'0000 + i * 0x1'0000};
        put_string(member(module.address, "module.name"), module.name);
        set32(module.address, "module.state", 0);
        set32(member(module.address, "module.refcnt"), "atomic_t.counter", i == 0 && d.modules > 1 ? 2 : 1);
        set(module.address, "module.taints", std::uint64_t{i} << 12);
        module.size = 0x3000 + 0x1000 * i;
        if (d.types.module_memory) {
            const std::uint64_t sizes[] = {0x1000, 0x1000, 0x1000, 0x1000 * i, 0x8000};
            for (std::uint64_t m = 0; m < 5; ++m) {
                const Gva memory = member(module.address, "module.mem").wrap_plus(m * types.size("module_memory"));
                set(memory, "module_memory.base", module.base.wrap_plus(m * 0x1000));
                set32(memory, "module_memory.size", static_cast<std::uint32_t>(sizes[m]));
            }
        } else {
            set(member(module.address, "module.core_layout"), "module_layout.base", module.base);
            set32(member(module.address, "module.core_layout"), "module_layout.size",
                  static_cast<std::uint32_t>(module.size));
        }
        make_module_symbols(module);
        const Gva users = member(module.address, "module.source_list");
        link({users});
        list.push_back(member(module.address, "module.list"));
        modules.push_back(module);
    }
    if (d.modules > 1) {  // the second uses the first
        const Gva use = alloc(types.size("module_use"));
        set(use, "module_use.source", modules[1].address);
        set(use, "module_use.target", modules[0].address);
        link({member(modules[0].address, "module.source_list"), member(use, "module_use.source_list")});
        modules[0].used_by = modules[1].name;
    }
    link(list);
    link({symbol("btf_modules")});
}

void SyntheticGuest::make_module_symbols(SyntheticModule& module) {
    std::string strings(1, '\0');
    std::vector<std::byte> table(24);
    for (unsigned i = 0; i < 4; ++i) {
        module.symbols.push_back(fmt::format("{}_function_{}", module.name, i));
        std::array<std::byte, 24> entry{};
        const auto name_at = static_cast<std::uint32_t>(strings.size());
        const std::uint16_t section = 1;
        const std::uint64_t value = module.base.value + 0x40 * i;
        std::memcpy(entry.data(), &name_at, 4);
        std::memcpy(entry.data() + 6, &section, 2);
        std::memcpy(entry.data() + 8, &value, 8);
        table.insert(table.end(), entry.begin(), entry.end());
        strings += module.symbols.back() + '\0';
    }
    const Gva symtab = alloc(table.size());
    ram.write(physical(symtab), table);
    const Gva strtab = alloc(strings.size());
    put_text(strtab, strings);
    const Gva typetab = alloc(8);
    put_text(typetab, std::string_view("\0tttt", 5));
    module.kallsyms = alloc(types.size("mod_kallsyms"));
    set(module.kallsyms, "mod_kallsyms.symtab", symtab);
    set(module.kallsyms, "mod_kallsyms.strtab", strtab);
    set(module.kallsyms, "mod_kallsyms.typetab", typetab);
    set32(module.kallsyms, "mod_kallsyms.num_symtab", 5);
    set(module.address, "module.kallsyms", module.kallsyms);
    // The first symbol is exported: its name and value by their distance from the entry's members.
    const Gva exported = alloc(types.size("kernel_symbol"));
    const Gva area{kModules + (physical(exported).value - d.heap_pa)};
    const Gva name_in_area{kModules + (physical(strtab).value - d.heap_pa)};
    const auto put_relative = [&](const std::string& name_of, Gva target) {
        put(member(exported, name_of), static_cast<std::uint32_t>(target.value - member(area, name_of).value));
    };
    put_relative("kernel_symbol.value_offset", module.base);
    put_relative("kernel_symbol.name_offset", name_in_area.wrap_plus(1));
    set(module.address, "module.syms", area);
    set32(module.address, "module.num_syms", 1);
}

}  // namespace vitrine::test
