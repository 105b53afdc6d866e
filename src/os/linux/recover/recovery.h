// One attempt at recovering a layout: what is known so far, passed from rule to rule. Each file of this folder adds the
// members of one kind of object; later ones build on what earlier ones found and do nothing without it.
#pragma once

#include <string>
#include <vector>

#include "os/linux/kernel_symbols.h"
#include "os/linux/layout.h"
#include "os/linux/recover/images.h"

namespace vitrine::linux_os {

struct Recovery {
    const AddressSpace& space;
    const KernelSymbols& symbols;
    Layout layout;
    std::vector<std::string> evidence;

    // init_task first, then every process in the list's order (which is that of forking).
    Images tasks;
    std::vector<char> is_kernel_thread;  // of each task, once the flags are known

    std::vector<FieldId> by_order;  // found next to others: holds only where members lie in the usual order

    [[nodiscard]] std::optional<std::uint32_t> offset(FieldId id) const { return layout.offset(id); }
    [[nodiscard]] std::optional<Gva> symbol(SymbolId id) const { return symbols.get(id); }
    void found(FieldId id, std::uint32_t offset, std::uint32_t size, std::string_view why);
    // For a member that is told from its neighbours by their order alone: recover_order() takes it back where that is unusual.
    void found_by_order(FieldId id, std::uint32_t offset, std::uint32_t size, std::string_view why) {
        found(id, offset, size, why);
        by_order.push_back(id);
    }
    // Is it an address of the kernel's half?
    [[nodiscard]] bool is_kernel_pointer(std::uint64_t value) const;
    [[nodiscard]] bool is_user_address(std::uint64_t value) const { return value < (std::uint64_t{1} << 56); }
    // The distinct values that tasks hold at a pointer member; NULL left out.
    [[nodiscard]] std::vector<Gva> distinct_pointers(FieldId id) const;
};

// In this order.
bool recover_task_list(Recovery& r);            // task_tasks, task_comm and the images; false: nothing can be done
void recover_identity(Recovery& r);             // pid, tgid, parents, group leader
void recover_memory(Recovery& r);               // mm, active_mm, flags; mm_struct
void recover_owned_objects(Recovery& r);        // cred, files, fs, nsproxy, signal, sighand, thread_pid
void recover_signal(Recovery& r);               // thread_node; signal_struct
void recover_pid(Recovery& r);                  // struct pid
void recover_cred(Recovery& r);                 // struct cred
void recover_scheduling(Recovery& r);           // state, exit_state, static_prio, start_boottime, stack
void recover_kthread(Recovery& r);              // worker_private; struct kthread
void recover_module(Recovery& r);               // struct module
[[nodiscard]] bool recover_order(Recovery& r);  // judges what was found by order; false: taken back

}  // namespace vitrine::linux_os
