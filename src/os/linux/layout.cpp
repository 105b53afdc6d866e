#include "os/linux/layout.h"

#include <array>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

using F = FieldId;

// Alternatives are ordered newest first; each older one names what replaced it. A macro only so that the enumerator is
// also the name in messages and in the cache.
#define FIELD(id, structure, required, ...)                      \
    FieldNeed { F::id, #id, structure, {__VA_ARGS__}, required }
constexpr auto kNeeds = std::to_array<FieldNeed>({
    FIELD(task_tasks, "task_struct", true, "tasks"),
    FIELD(task_pid, "task_struct", true, "pid"),
    FIELD(task_tgid, "task_struct", true, "tgid"),
    FIELD(task_comm, "task_struct", true, "comm"),
    // Renamed by Linux commit 2f064a59a11f "sched: Change task_struct::state" (v5.14).
    FIELD(task_state, "task_struct", false, "__state", "state"),
    FIELD(task_exit_state, "task_struct", false, "exit_state"),
    FIELD(task_flags, "task_struct", false, "flags"),
    FIELD(task_real_parent, "task_struct", false, "real_parent"),
    FIELD(task_children, "task_struct", false, "children"),
    FIELD(task_sibling, "task_struct", false, "sibling"),
    FIELD(task_group_leader, "task_struct", false, "group_leader"),
    FIELD(task_mm, "task_struct", false, "mm"),
    FIELD(task_active_mm, "task_struct", false, "active_mm"),
    FIELD(task_real_cred, "task_struct", false, "real_cred"),
    FIELD(task_cred, "task_struct", false, "cred"),
    FIELD(task_fs, "task_struct", false, "fs"),
    FIELD(task_files, "task_struct", false, "files"),
    FIELD(task_nsproxy, "task_struct", false, "nsproxy"),
    FIELD(task_signal, "task_struct", false, "signal"),
    FIELD(task_sighand, "task_struct", false, "sighand"),
    FIELD(task_thread_pid, "task_struct", false, "thread_pid"),
    FIELD(task_thread_node, "task_struct", false, "thread_node"),
    // Renamed by Linux commit cf25e24db61c "time: Rename tsk->real_start_time to ->start_boottime" (v5.5).
    FIELD(task_start_boottime, "task_struct", false, "start_boottime", "real_start_time"),
    FIELD(task_static_prio, "task_struct", false, "static_prio"),
    // struct kthread moved out of set_child_tid by Linux commit e32cf5dfbe22 "kthread: Generalize pf_io_worker so it can
    // point to struct kthread" (v5.17).
    FIELD(task_kthread, "task_struct", false, "worker_private", "set_child_tid"),
    FIELD(task_stack, "task_struct", false, "stack"),

    FIELD(signal_thread_head, "signal_struct", false, "thread_head"),
    FIELD(signal_nr_threads, "signal_struct", false, "nr_threads"),
    FIELD(signal_pgid, "signal_struct", false, "pids[2]"),  // PIDTYPE_PGID, include/linux/pid_types.h
    FIELD(signal_sid, "signal_struct", false, "pids[3]"),   // PIDTYPE_SID

    FIELD(pid_level, "pid", false, "level"),
    FIELD(pid_numbers, "pid", false, "numbers[0].nr"),

    FIELD(mm_pgd, "mm_struct", false, "pgd"),
    FIELD(mm_arg_start, "mm_struct", false, "arg_start"),
    FIELD(mm_arg_end, "mm_struct", false, "arg_end"),
    FIELD(mm_env_start, "mm_struct", false, "env_start"),
    FIELD(mm_env_end, "mm_struct", false, "env_end"),
    FIELD(mm_start_code, "mm_struct", false, "start_code"),
    FIELD(mm_end_code, "mm_struct", false, "end_code"),
    FIELD(mm_end_data, "mm_struct", false, "end_data"),
    FIELD(mm_brk, "mm_struct", false, "brk"),
    FIELD(mm_exe_file, "mm_struct", false, "exe_file"),
    FIELD(mm_total_vm, "mm_struct", false, "total_vm"),
    // An array of per-CPU counters since Linux commit f1a7941243c1 "mm: convert mm's rss stats into percpu_counter" (v6.2).
    FIELD(mm_rss_file, "mm_struct", false, "rss_stat[0].count", "rss_stat.count[0].counter"),
    FIELD(mm_rss_anon, "mm_struct", false, "rss_stat[1].count", "rss_stat.count[1].counter"),
    FIELD(mm_rss_shmem, "mm_struct", false, "rss_stat[3].count", "rss_stat.count[3].counter"),

    FIELD(cred_uid, "cred", false, "uid"),
    FIELD(cred_gid, "cred", false, "gid"),
    FIELD(cred_suid, "cred", false, "suid"),
    FIELD(cred_sgid, "cred", false, "sgid"),
    FIELD(cred_euid, "cred", false, "euid"),
    FIELD(cred_egid, "cred", false, "egid"),

    FIELD(fs_root, "fs_struct", false, "root"),
    FIELD(fs_pwd, "fs_struct", false, "pwd"),
    FIELD(path_mnt, "path", false, "mnt"),
    FIELD(path_dentry, "path", false, "dentry"),
    FIELD(file_path, "file", false, "f_path", "__f_path"),
    FIELD(vfsmount_root, "vfsmount", false, "mnt_root"),
    FIELD(vfsmount_sb, "vfsmount", false, "mnt_sb"),
    FIELD(mount_mnt, "mount", false, "mnt"),
    FIELD(mount_parent, "mount", false, "mnt_parent"),
    FIELD(mount_mountpoint, "mount", false, "mnt_mountpoint"),
    FIELD(dentry_parent, "dentry", false, "d_parent"),
    FIELD(dentry_name, "dentry", false, "d_name.name", "__d_name.name"),
    FIELD(dentry_name_len, "dentry", false, "d_name.len", "__d_name.len"),
    FIELD(dentry_sb, "dentry", false, "d_sb"),
    FIELD(dentry_inode, "dentry", false, "d_inode"),
    FIELD(dentry_hash_pprev, "dentry", false, "d_hash.pprev"),
    FIELD(inode_ino, "inode", false, "i_ino"),
    FIELD(sb_type, "super_block", false, "s_type"),
    FIELD(file_system_type_name, "file_system_type", false, "name"),

    FIELD(module_list, "module", false, "list"),
    FIELD(module_name, "module", false, "name"),
    FIELD(module_state, "module", false, "state"),
    FIELD(module_refcnt, "module", false, "refcnt"),
    // core_layout became mem[] with Linux commit ac3b43283923 "module: replace module_layout with module_memory" (v6.4).
    FIELD(module_core_base, "module", false, "core_layout.base"),
    FIELD(module_core_size, "module", false, "core_layout.size"),
    FIELD(module_mem, "module", false, "mem"),
    FIELD(module_mem_base, "module_memory", false, "base"),
    FIELD(module_mem_size, "module_memory", false, "size"),
    FIELD(module_kallsyms, "module", false, "kallsyms"),
    FIELD(module_source_list, "module", false, "source_list"),
    FIELD(module_taints, "module", false, "taints"),
    FIELD(module_syms, "module", false, "syms"),
    FIELD(module_num_syms, "module", false, "num_syms"),
    FIELD(kallsyms_symtab, "mod_kallsyms", false, "symtab"),
    FIELD(kallsyms_num_symtab, "mod_kallsyms", false, "num_symtab"),
    FIELD(kallsyms_strtab, "mod_kallsyms", false, "strtab"),
    FIELD(kallsyms_typetab, "mod_kallsyms", false, "typetab"),
    FIELD(module_use_source, "module_use", false, "source"),
    FIELD(module_use_source_list, "module_use", false, "source_list"),
    // Relative to their own place since Linux commit 7290d5809571 "module: use relative references for __ksymtab entries" (v4.19).
    FIELD(kernel_symbol_value, "kernel_symbol", false, "value_offset"),
    FIELD(kernel_symbol_name, "kernel_symbol", false, "name_offset"),

    // Linux commit d6986ce24fc0 "kthread: dynamically allocate memory to store kthread's full name" (v5.17).
    FIELD(kthread_full_name, "kthread", false, "full_name"),
    FIELD(kthread_data, "kthread", false, "data"),
    FIELD(worker_desc, "worker", false, "desc"),
    FIELD(worker_pool, "worker", false, "pool"),
    FIELD(worker_current_work, "worker", false, "current_work"),

    // Linux commit 36e68442d1af "bpf: Load and verify kernel module BTFs" (v5.11).
    FIELD(btf_module_list, "btf_module", false, "list"),
    FIELD(btf_module_module, "btf_module", false, "module"),
    FIELD(btf_module_btf, "btf_module", false, "btf"),
    FIELD(btf_data, "btf", false, "data"),
    FIELD(btf_data_size, "btf", false, "data_size"),

    FIELD(timekeeper_offs_real, "timekeeper", false, "offs_real"),
    FIELD(timekeeper_offs_boot, "timekeeper", false, "offs_boot"),
    FIELD(tk_data_timekeeper, "tk_data", false, "timekeeper"),
});
#undef FIELD

constexpr bool in_enumeration_order() {
    for (std::size_t i = 0; i < kNeeds.size(); ++i) {
        if (static_cast<std::size_t>(kNeeds[i].id) != i) return false;
    }
    return kNeeds.size() == kFieldCount;
}
static_assert(in_enumeration_order(), "field list and enumeration differ");

constexpr std::array<std::string_view, kStructCount> kStructs = {"task_struct", "upid", "module_memory", "elf64_sym",
                                                                 "kernel_symbol"};

// enum mod_mem_type (include/linux/module.h): text and data that stay come before MOD_INIT_TEXT.
std::uint32_t core_memory_mask(const TypeCatalog& types) {
    const auto end = types.enumerator("mod_mem_type", "MOD_MEM_NUM_TYPES");
    const auto init = types.enumerator("mod_mem_type", "MOD_INIT_TEXT");
    if (!end || !init || *init <= 0 || *init > 31 || *end > 31) return 0;
    return (1u << static_cast<unsigned>(*init)) - 1;
}

FieldSlot resolve(const TypeCatalog& types, const FieldNeed& wanted) {
    const auto structure = types.find(fmt::format("struct {}", wanted.structure));
    if (!structure) return {};
    for (std::size_t i = 0; i < wanted.paths.size() && !wanted.paths[i].empty(); ++i) {
        const auto field = types.field(*structure, wanted.paths[i]);
        if (!field || field->bit_size != 0) continue;
        if (field->offset() > UINT32_MAX || field->size > UINT32_MAX) continue;
        return {static_cast<std::uint32_t>(field->offset()), static_cast<std::uint32_t>(field->size), true,
                static_cast<std::uint8_t>(i)};
    }
    return {};
}

}  // namespace

std::span<const FieldNeed> field_needs() { return kNeeds; }
const FieldNeed& need(FieldId id) { return kNeeds[static_cast<std::size_t>(id)]; }
std::string_view struct_name(StructId id) { return kStructs[static_cast<std::size_t>(id)]; }

std::vector<std::string> Layout::missing_required() const {
    std::vector<std::string> missing;
    for (const FieldNeed& wanted : kNeeds) {
        if (wanted.required && !has(wanted.id))
            missing.push_back(fmt::format("{}.{}", wanted.structure, wanted.paths[0]));
    }
    return missing;
}

std::size_t Layout::present_count() const {
    std::size_t n = 0;
    for (const FieldSlot& slot : slots_) n += slot.present ? 1 : 0;
    return n;
}

Layout resolve_layout(const TypeCatalog& types) {
    Layout layout;
    for (const FieldNeed& wanted : kNeeds) layout.set(wanted.id, resolve(types, wanted));
    for (std::size_t i = 0; i < kStructCount; ++i) {
        const auto id = types.find(fmt::format("struct {}", kStructs[i]));
        if (!id) continue;
        const auto size = types.size_of(*id);
        if (size && *size <= UINT32_MAX)
            layout.set_struct_size(static_cast<StructId>(i), static_cast<std::uint32_t>(*size));
    }
    layout.module_core_memory_mask = core_memory_mask(types);
    return layout;
}

}  // namespace vitrine::linux_os
