#include "os/linux/layout.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

using F = FieldId;

// Alternatives are ordered newest first; each older one names what replaced it. A macro only so that the enumerator is
// also the name in messages and in the cache.
#define FIELD(id, shape, structure, required, ...)                                  \
    FieldNeed { F::id, #id, structure, {__VA_ARGS__}, FieldShape::shape, required }
constexpr auto kNeeds = std::to_array<FieldNeed>({
    FIELD(task_tasks, list, "task_struct", true, "tasks"),
    FIELD(task_pid, u32, "task_struct", true, "pid"),
    FIELD(task_tgid, u32, "task_struct", true, "tgid"),
    FIELD(task_comm, text, "task_struct", true, "comm"),
    // Renamed by Linux commit 2f064a59a11f "sched: Change task_struct::state" (v5.14).
    FIELD(task_state, word, "task_struct", false, "__state", "state"),
    FIELD(task_exit_state, u32, "task_struct", false, "exit_state"),
    FIELD(task_flags, u32, "task_struct", false, "flags"),
    FIELD(task_real_parent, pointer, "task_struct", false, "real_parent"),
    FIELD(task_children, list, "task_struct", false, "children"),
    FIELD(task_sibling, list, "task_struct", false, "sibling"),
    FIELD(task_group_leader, pointer, "task_struct", false, "group_leader"),
    FIELD(task_mm, pointer, "task_struct", false, "mm"),
    FIELD(task_active_mm, pointer, "task_struct", false, "active_mm"),
    FIELD(task_real_cred, pointer, "task_struct", false, "real_cred"),
    FIELD(task_cred, pointer, "task_struct", false, "cred"),
    FIELD(task_fs, pointer, "task_struct", false, "fs"),
    FIELD(task_files, pointer, "task_struct", false, "files"),
    FIELD(task_nsproxy, pointer, "task_struct", false, "nsproxy"),
    FIELD(task_signal, pointer, "task_struct", false, "signal"),
    FIELD(task_sighand, pointer, "task_struct", false, "sighand"),
    FIELD(task_thread_pid, pointer, "task_struct", false, "thread_pid"),
    FIELD(task_thread_node, list, "task_struct", false, "thread_node"),
    // Renamed by Linux commit cf25e24db61c "time: Rename tsk->real_start_time to ->start_boottime" (v5.5).
    FIELD(task_start_boottime, u64, "task_struct", false, "start_boottime", "real_start_time"),
    FIELD(task_static_prio, u32, "task_struct", false, "static_prio"),
    // struct kthread moved out of set_child_tid by Linux commit e32cf5dfbe22 "kthread: Generalize pf_io_worker so it can
    // point to struct kthread" (v5.17).
    FIELD(task_kthread, pointer, "task_struct", false, "worker_private", "set_child_tid"),
    FIELD(task_stack, pointer, "task_struct", false, "stack"),

    FIELD(signal_thread_head, list, "signal_struct", false, "thread_head"),
    FIELD(signal_nr_threads, u32, "signal_struct", false, "nr_threads"),
    FIELD(signal_pgid, pointer, "signal_struct", false, "pids[2]"),  // PIDTYPE_PGID, include/linux/pid_types.h
    FIELD(signal_sid, pointer, "signal_struct", false, "pids[3]"),   // PIDTYPE_SID

    FIELD(pid_level, u32, "pid", false, "level"),
    FIELD(pid_numbers, u32, "pid", false, "numbers[0].nr"),

    FIELD(mm_pgd, pointer, "mm_struct", false, "pgd"),
    FIELD(mm_arg_start, u64, "mm_struct", false, "arg_start"),
    FIELD(mm_arg_end, u64, "mm_struct", false, "arg_end"),
    FIELD(mm_env_start, u64, "mm_struct", false, "env_start"),
    FIELD(mm_env_end, u64, "mm_struct", false, "env_end"),
    FIELD(mm_start_code, u64, "mm_struct", false, "start_code"),
    FIELD(mm_end_code, u64, "mm_struct", false, "end_code"),
    FIELD(mm_end_data, u64, "mm_struct", false, "end_data"),
    FIELD(mm_brk, u64, "mm_struct", false, "brk"),
    FIELD(mm_exe_file, pointer, "mm_struct", false, "exe_file"),
    FIELD(mm_total_vm, u64, "mm_struct", false, "total_vm"),
    // An array of per-CPU counters since Linux commit f1a7941243c1 "mm: convert mm's rss stats into percpu_counter" (v6.2).
    FIELD(mm_rss_file, u64, "mm_struct", false, "rss_stat[0].count", "rss_stat.count[0].counter"),
    FIELD(mm_rss_anon, u64, "mm_struct", false, "rss_stat[1].count", "rss_stat.count[1].counter"),
    FIELD(mm_rss_shmem, u64, "mm_struct", false, "rss_stat[3].count", "rss_stat.count[3].counter"),

    FIELD(cred_uid, u32, "cred", false, "uid"),
    FIELD(cred_gid, u32, "cred", false, "gid"),
    FIELD(cred_suid, u32, "cred", false, "suid"),
    FIELD(cred_sgid, u32, "cred", false, "sgid"),
    FIELD(cred_euid, u32, "cred", false, "euid"),
    FIELD(cred_egid, u32, "cred", false, "egid"),

    FIELD(fs_root, record, "fs_struct", false, "root"),
    FIELD(fs_pwd, record, "fs_struct", false, "pwd"),
    FIELD(path_mnt, pointer, "path", false, "mnt"),
    FIELD(path_dentry, pointer, "path", false, "dentry"),
    FIELD(file_path, record, "file", false, "f_path", "__f_path"),
    FIELD(vfsmount_root, pointer, "vfsmount", false, "mnt_root"),
    FIELD(vfsmount_sb, pointer, "vfsmount", false, "mnt_sb"),
    FIELD(mount_mnt, record, "mount", false, "mnt"),
    FIELD(mount_parent, pointer, "mount", false, "mnt_parent"),
    FIELD(mount_mountpoint, pointer, "mount", false, "mnt_mountpoint"),
    FIELD(dentry_parent, pointer, "dentry", false, "d_parent"),
    FIELD(dentry_name, pointer, "dentry", false, "d_name.name", "__d_name.name"),
    FIELD(dentry_name_len, u32, "dentry", false, "d_name.len", "__d_name.len"),
    FIELD(dentry_sb, pointer, "dentry", false, "d_sb"),
    FIELD(dentry_inode, pointer, "dentry", false, "d_inode"),
    FIELD(dentry_hash_pprev, pointer, "dentry", false, "d_hash.pprev"),
    FIELD(inode_ino, u64, "inode", false, "i_ino"),
    FIELD(sb_type, pointer, "super_block", false, "s_type"),
    FIELD(file_system_type_name, pointer, "file_system_type", false, "name"),

    FIELD(module_list, list, "module", false, "list"),
    FIELD(module_name, text, "module", false, "name"),
    FIELD(module_state, u32, "module", false, "state"),
    FIELD(module_refcnt, u32, "module", false, "refcnt"),
    // core_layout became mem[] with Linux commit ac3b43283923 "module: replace module_layout with module_memory" (v6.4).
    FIELD(module_core_base, pointer, "module", false, "core_layout.base"),
    FIELD(module_core_size, u32, "module", false, "core_layout.size"),
    FIELD(module_mem, records, "module", false, "mem"),
    FIELD(module_mem_base, pointer, "module_memory", false, "base"),
    FIELD(module_mem_size, u32, "module_memory", false, "size"),
    FIELD(module_kallsyms, pointer, "module", false, "kallsyms"),
    FIELD(module_source_list, list, "module", false, "source_list"),
    FIELD(module_taints, u64, "module", false, "taints"),
    FIELD(module_syms, pointer, "module", false, "syms"),
    FIELD(module_num_syms, u32, "module", false, "num_syms"),
    FIELD(kallsyms_symtab, pointer, "mod_kallsyms", false, "symtab"),
    FIELD(kallsyms_num_symtab, u32, "mod_kallsyms", false, "num_symtab"),
    FIELD(kallsyms_strtab, pointer, "mod_kallsyms", false, "strtab"),
    FIELD(kallsyms_typetab, pointer, "mod_kallsyms", false, "typetab"),
    FIELD(module_use_source, pointer, "module_use", false, "source"),
    FIELD(module_use_source_list, list, "module_use", false, "source_list"),
    // Relative to their own place since Linux commit 7290d5809571 "module: use relative references for __ksymtab entries" (v4.19).
    FIELD(kernel_symbol_value, u32, "kernel_symbol", false, "value_offset"),
    FIELD(kernel_symbol_name, u32, "kernel_symbol", false, "name_offset"),

    // Linux commit d6986ce24fc0 "kthread: dynamically allocate memory to store kthread's full name" (v5.17).
    FIELD(kthread_full_name, pointer, "kthread", false, "full_name"),
    FIELD(kthread_data, pointer, "kthread", false, "data"),
    FIELD(worker_desc, text, "worker", false, "desc"),
    FIELD(worker_pool, pointer, "worker", false, "pool"),
    FIELD(worker_current_work, pointer, "worker", false, "current_work"),

    // Linux commit 36e68442d1af "bpf: Load and verify kernel module BTFs" (v5.11).
    FIELD(btf_module_list, list, "btf_module", false, "list"),
    FIELD(btf_module_module, pointer, "btf_module", false, "module"),
    FIELD(btf_module_btf, pointer, "btf_module", false, "btf"),
    FIELD(btf_data, pointer, "btf", false, "data"),
    FIELD(btf_data_size, u32, "btf", false, "data_size"),

    FIELD(timekeeper_offs_real, u64, "timekeeper", false, "offs_real"),
    FIELD(timekeeper_offs_boot, u64, "timekeeper", false, "offs_boot"),
    FIELD(tk_data_timekeeper, record, "tk_data", false, "timekeeper"),
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
    MemberNeed need{wanted.structure, {}, wanted.shape, wanted.required};
    std::copy(wanted.paths.begin(), wanted.paths.end(), need.paths.begin());
    const MemberSlot slot = resolve_member(types, need);
    return {slot.offset, slot.size, slot.present, slot.alternative};
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
