// The kernel's list of processes (thread group leaders), walked with its back-links checked.
#pragma once

#include <cstdint>
#include <string>

#include "os/linux/layout.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

class TaskList {
public:
    // init_task heads the list. The layout must have the required fields. All outlive the list.
    TaskList(const AddressSpace& space, Gva init_task, const Layout& layout);

    // Visits every process but the idle one, in the list's order. Stops with inconsistent where next->prev is not the node
    // come from (torn by the running guest, or tampered with), cycle where a node is met again, fault where one cannot be read.
    // Does not retry: a caller that does starts with a new generation.
    WalkReport for_each(WalkBudget budget, FunctionRef<bool(const TaskKey&)> visit) const;

    // Visits every thread of the process, the leader included, through signal_struct.thread_head.
    WalkReport for_each_thread(Gva signal, WalkBudget budget, FunctionRef<bool(const TaskKey&)> visit) const;

    Result<TaskKey> read_key(Gva task) const;
    // Do both neighbours on the task list point back at the task?
    [[nodiscard]] bool is_linked(Gva task) const;

private:
    struct Node;
    WalkReport walk(Gva head, std::uint32_t link_offset, WalkBudget budget,
                    FunctionRef<bool(const TaskKey&)> visit) const;
    Result<void> read_node(Gva link, std::uint32_t link_offset, Node& node) const;

    const AddressSpace& space_;
    Gva init_task_;
    const Layout& layout_;
};

}  // namespace vitrine::linux_os
