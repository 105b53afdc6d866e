#include "os/linux/kernel_thread.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kNameMax = 64;  // TASK_COMM_LEN of a full name: wq_worker_comm() is given 64 bytes
constexpr std::size_t kDescMax = 32;  // WORKER_DESC_LEN (24, 32 since v6.9)

// kthread.full_name: there only where the name was too long for comm (kernel/kthread.c, __kthread_create_on_node).
std::optional<std::string> full_name(const LinuxGuest& guest, Gva kthread) {
    const auto offset = guest.layout().offset(FieldId::kthread_full_name);
    if (!offset) return std::nullopt;
    const auto text = guest.space().read_pointer(kthread.wrap_plus(*offset));
    if (!text || text->is_null()) return std::nullopt;
    const auto name = guest.space().read_c_string(*text, kNameMax);
    if (!name || name->bytes.empty()) return std::nullopt;
    return name->bytes;
}

// What wq_worker_comm() (kernel/workqueue.c) puts behind the worker's own name: "-" or "+" and what it works on.
std::string work_of(const LinuxGuest& guest, Gva kthread) {
    const Layout& layout = guest.layout();
    for (const FieldId id :
         {FieldId::kthread_data, FieldId::worker_pool, FieldId::worker_desc, FieldId::worker_current_work}) {
        if (!layout.has(id)) return {};
    }
    const AddressSpace& space = guest.space();
    const auto worker = space.read_pointer(kthread.wrap_plus(layout.at(FieldId::kthread_data)));
    if (!worker || worker->is_null()) return {};
    const auto pool = space.read_pointer(worker->wrap_plus(layout.at(FieldId::worker_pool)));
    const auto desc = space.read_c_string(worker->wrap_plus(layout.at(FieldId::worker_desc)), kDescMax);
    const auto work = space.read_pointer(worker->wrap_plus(layout.at(FieldId::worker_current_work)));
    if (!pool || pool->is_null() || !desc || desc->bytes.empty() || !work) return {};
    return (work->is_null() ? "-" : "+") + desc->bytes;
}

// The worker's own name is its comm; but where rescuers are called kworker/R-NAME (as workers, not after their queue as in older
// kernels), format_worker_id() prints the queue's name whole, and so does kthread.full_name.
std::string worker_name(const LinuxGuest& guest, const TaskKey& key, Gva kthread) {
    std::string name(key.name());
    if (name.starts_with("kworker/R-")) name = full_name(guest, kthread).value_or(std::move(name));
    return name + work_of(guest, kthread);
}

}  // namespace

std::optional<std::string> kernel_thread_name(const LinuxGuest& guest, const TaskKey& key, const TaskView& task) {
    if (!task.is_kernel_thread()) return std::nullopt;
    const auto kthread = task.pointer(FieldId::task_kthread);
    if (!kthread || kthread->is_null()) return std::nullopt;
    if ((task.u32(FieldId::task_flags).value_or(0) & kTaskWorkqueue) != 0) return worker_name(guest, key, *kthread);
    return full_name(guest, *kthread);
}

}  // namespace vitrine::linux_os
