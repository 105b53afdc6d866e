// What Vitrine needs to know of a Linux kernel's structures: one list of fields, each with its alternatives by presence
// and kind of members (never by version). Resolved once per kernel, from types (BTF, DWARF), by recovery from
// invariants, or from the cache.
//
//   Layout layout = resolve_layout(catalog);
//   auto pid = layout.offset(FieldId::task_pid);      // std::optional<std::uint32_t>
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/types/catalog.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

enum class FieldId : std::uint16_t {
    // struct task_struct
    task_tasks,
    task_pid,
    task_tgid,
    task_comm,
    task_state,
    task_exit_state,
    task_flags,
    task_real_parent,
    task_children,
    task_sibling,
    task_group_leader,
    task_mm,
    task_active_mm,
    task_real_cred,
    task_cred,
    task_fs,
    task_files,
    task_nsproxy,
    task_signal,
    task_sighand,
    task_thread_pid,
    task_thread_node,
    task_start_boottime,
    task_static_prio,
    task_kthread,
    task_stack,
    // struct signal_struct
    signal_thread_head,
    signal_nr_threads,
    signal_pgid,
    signal_sid,
    // struct pid, struct upid
    pid_level,
    pid_numbers,
    // struct mm_struct
    mm_pgd,
    mm_arg_start,
    mm_arg_end,
    mm_env_start,
    mm_env_end,
    mm_start_code,
    mm_end_code,
    mm_end_data,
    mm_brk,
    mm_exe_file,
    mm_total_vm,
    mm_rss_file,
    mm_rss_anon,
    mm_rss_shmem,
    // struct cred
    cred_uid,
    cred_gid,
    cred_suid,
    cred_sgid,
    cred_euid,
    cred_egid,
    // paths
    fs_root,
    fs_pwd,
    path_mnt,
    path_dentry,
    file_path,
    vfsmount_root,
    vfsmount_sb,
    mount_mnt,
    mount_parent,
    mount_mountpoint,
    dentry_parent,
    dentry_name,
    dentry_name_len,
    dentry_sb,
    dentry_inode,
    dentry_hash_pprev,
    inode_ino,
    sb_type,
    file_system_type_name,
    // struct module
    module_list,
    module_name,
    module_state,
    module_refcnt,
    module_core_base,
    module_core_size,
    module_mem,
    module_mem_base,
    module_mem_size,
    module_kallsyms,
    module_source_list,
    module_taints,
    module_syms,
    module_num_syms,
    kallsyms_symtab,
    kallsyms_num_symtab,
    kallsyms_strtab,
    kallsyms_typetab,
    module_use_source,
    module_use_source_list,
    kernel_symbol_value,
    kernel_symbol_name,
    // kernel threads
    kthread_full_name,
    kthread_data,
    worker_desc,
    worker_pool,
    worker_current_work,
    // BTF of modules
    btf_module_list,
    btf_module_module,
    btf_module_btf,
    btf_data,
    btf_data_size,
    // time
    timekeeper_offs_real,
    timekeeper_offs_boot,
    tk_data_timekeeper,
    count
};
inline constexpr std::size_t kFieldCount = static_cast<std::size_t>(FieldId::count);

// Structures whose whole size is needed.
enum class StructId : std::uint8_t { task_struct, upid, module_memory, elf_sym, kernel_symbol, count };
inline constexpr std::size_t kStructCount = static_cast<std::size_t>(StructId::count);

struct FieldSlot {
    std::uint32_t offset = 0;  // bytes from the start of the structure
    std::uint32_t size = 0;    // bytes; 0 for flexible arrays
    bool present = false;
    std::uint8_t alternative = 0;  // which of the alternatives it was
};

using FieldShape = MemberShape;

struct FieldNeed {
    FieldId id;
    std::string_view name;  // as in the enumeration: the key in the cache and in messages
    std::string_view structure;
    std::array<std::string_view, 3> paths;  // tried in this order; "" ends
    FieldShape shape;                       // a member of another one counts as absent
    bool required;                          // without it there is no process list
};
[[nodiscard]] std::span<const FieldNeed> field_needs();
[[nodiscard]] const FieldNeed& need(FieldId id);

class Layout {
public:
    [[nodiscard]] std::optional<std::uint32_t> offset(FieldId id) const {
        const FieldSlot& s = slots_[static_cast<std::size_t>(id)];
        if (!s.present) return std::nullopt;
        return s.offset;
    }
    [[nodiscard]] bool has(FieldId id) const { return slots_[static_cast<std::size_t>(id)].present; }
    // Precondition: has(id).
    [[nodiscard]] std::uint32_t at(FieldId id) const { return slots_[static_cast<std::size_t>(id)].offset; }
    [[nodiscard]] const FieldSlot& slot(FieldId id) const { return slots_[static_cast<std::size_t>(id)]; }
    void set(FieldId id, FieldSlot slot) { slots_[static_cast<std::size_t>(id)] = slot; }

    [[nodiscard]] std::uint32_t struct_size(StructId id) const {
        return sizes_[static_cast<std::size_t>(id)];
    }  // 0: unknown
    void set_struct_size(StructId id, std::uint32_t size) { sizes_[static_cast<std::size_t>(id)] = size; }

    // enum mod_mem_type: which entries of module.mem[] stay after loading; bit i set: entry i counts. 0 when there is no such enum.
    std::uint32_t module_core_memory_mask = 0;

    // Names of required fields that are missing: "task_struct.tasks".
    [[nodiscard]] std::vector<std::string> missing_required() const;
    [[nodiscard]] std::size_t present_count() const;

private:
    std::array<FieldSlot, kFieldCount> slots_{};
    std::array<std::uint32_t, kStructCount> sizes_{};
};

[[nodiscard]] std::string_view struct_name(StructId id);

// Absent members are simply absent; missing_required() tells whether the result is usable.
[[nodiscard]] Layout resolve_layout(const TypeCatalog& types);

}  // namespace vitrine::linux_os
