// The task whose task_struct or kernel stack holds an address.
#include <fmt/format.h>

#include "os/linux/find/prove.h"
#include "os/linux/identify/facts.h"
#include "os/linux/layout.h"

namespace vitrine::linux_os {
namespace {

// A guest may say that all its tasks share one place.
constexpr std::size_t kMostTasksTold = 16;
constexpr std::uint64_t kMostOfStack = std::uint64_t{1} << 20;

// THREAD_SIZE: the first task's stack is part of the image, between symbols (include/asm-generic/vmlinux.lds.h, INIT_TASK_DATA; they were
// renamed by 8f69cba096b5, v6.10).
std::optional<std::uint64_t> stack_size(const SymbolTable& symbols) {
    constexpr std::pair<std::string_view, std::string_view> kMarks[] = {{"__start_init_stack", "__end_init_stack"},
                                                                        {"__start_init_task", "__end_init_task"}};
    for (const auto& [first_name, end_name] : kMarks) {
        const auto first = symbols.address_of(first_name);
        const auto end = symbols.address_of(end_name);
        if (first && end && *end > *first && end->value - first->value <= kMostOfStack)
            return end->value - first->value;
    }
    return std::nullopt;
}

// A task's structure ends with the state of its FPU, of which only what this processor has is allocated (arch_task_struct_size,
// arch/x86/kernel/fpu/init.c); that may be more than the type has as well.
std::uint64_t allocated_size(const LinuxGuest& guest, const SymbolTable& symbols, std::uint64_t of_type) {
    constexpr std::int32_t kMost = 1 << 20;
    const auto at = symbols.address_of("arch_task_struct_size");
    const auto size = at ? guest.space().read_value<std::int32_t>(*at) : Result<std::int32_t>(0);
    return size && *size > 0 && *size <= kMost ? static_cast<std::uint64_t>(*size) : of_type;
}

std::string task_text(const TaskKey& task) {
    if (task.pid == task.tgid) return fmt::format("pid {} ({})", task.pid, task.name());
    return fmt::format("pid {}, thread {} ({})", task.tgid, task.pid, task.name());
}

}  // namespace

void add_tasks(Facts& facts, LinuxGuest& guest, const SymbolNames& names, Gva address) {
    const Layout& layout = guest.layout();
    const std::uint64_t of_type = layout.struct_size(StructId::task_struct);
    const std::uint64_t allocated = allocated_size(guest, names.table(), of_type);
    const auto init_task = guest.proven().symbols.get(SymbolId::init_task);
    const auto stack_of_size = stack_size(names.table());
    const auto stack_at = layout.offset(FieldId::task_stack);
    TaskSnapshot snapshot = guest.threads();
    // The idle task of the first CPU heads the list and is not in it.
    if (init_task) {
        TaskKey idle{*init_task, 0, 0, {}};
        const auto comm = guest.space().read_c_string(init_task->wrap_plus(layout.at(FieldId::task_comm)),
                                                      idle.comm.size());
        if (comm) std::copy(comm->bytes.begin(), comm->bytes.end(), idle.comm.begin());
        snapshot.tasks.push_back(idle);
    }
    std::size_t unread = 0;
    std::size_t told = 0;
    for (const TaskKey& task : snapshot.tasks) {
        if (told >= kMostTasksTold) {
            facts.unknown("task", "more tasks claim this place");
            return;
        }
        const std::uint64_t inside = address.value - task.address.value;
        if (inside < (task.address == init_task ? of_type : allocated)) {
            ++told;
            facts.add("task", fmt::format("{}, task_struct {:#x}+{:#x}", task_text(task), task.address.value, inside));
        }
        if (!stack_of_size || !stack_at) continue;
        const auto stack = guest.space().read_pointer(task.address.wrap_plus(*stack_at));
        if (!stack) {
            ++unread;
        } else if (!stack->is_null() && address.value - stack->value < *stack_of_size) {
            ++told;
            facts.add("stack", fmt::format("{}, kernel stack {:#x}+{:#x}", task_text(task), stack->value,
                                           address.value - stack->value));
        }
    }
    if (of_type == 0) facts.unknown("task", "the size of this kernel's task_struct is not known");
    if (snapshot.report.end != WalkEnd::complete)
        facts.unknown("task", fmt::format("the list of tasks: {}", to_string(snapshot.report.end)));
    if (!stack_of_size || !stack_at)
        facts.unknown("stack", "where this kernel's stacks lie, or how large they are, is not known");
    else if (unread > 0) facts.unknown("stack", fmt::format("those of {} tasks cannot be read", unread));
}

}  // namespace vitrine::linux_os
