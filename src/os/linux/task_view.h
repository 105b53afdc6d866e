// A copy of one task_struct, read in one go: all its members belong to one moment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "os/linux/layout.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

inline constexpr std::uint32_t kTaskKernelThread = 0x0020'0000;  // PF_KTHREAD, include/linux/sched.h
inline constexpr std::uint32_t kTaskWorkqueue = 0x0000'0020;     // PF_WQ_WORKER

class TaskView {
public:
    // nullopt when the structure cannot be read whole, or is no longer the task it was (its ids changed).
    static std::optional<TaskView> read(const LinuxGuest& guest, const TaskKey& key);

    // Does what this copy points to still belong to the task? `fresh` reads past all caches. What was followed from a copy of a task that
    // has since ended, or executed another program, may be of anything that took the memory over.
    [[nodiscard]] bool still_holds(const AddressSpace& fresh, Gva address) const;

    // Taken off the kernel's lists, as pid_alive() (include/linux/sched/signal.h) tells; its parts may be freed already.
    [[nodiscard]] bool is_released() const {
        const auto pid = pointer(FieldId::task_thread_pid);
        return pid && pid->is_null();
    }

    [[nodiscard]] std::string name() const;  // comm up to its NUL: any bytes
    [[nodiscard]] std::optional<std::uint32_t> u32(FieldId id) const { return get<std::uint32_t>(id); }
    [[nodiscard]] std::optional<std::int32_t> i32(FieldId id) const { return get<std::int32_t>(id); }
    [[nodiscard]] std::optional<std::uint64_t> u64(FieldId id) const { return get<std::uint64_t>(id); }
    [[nodiscard]] std::optional<Gva> pointer(FieldId id) const {
        const auto value = get<std::uint64_t>(id);
        return value ? std::optional(Gva{*value}) : std::nullopt;
    }
    [[nodiscard]] bool is_kernel_thread() const {
        return (u32(FieldId::task_flags).value_or(0) & kTaskKernelThread) != 0;
    }
    // R S D T t X Z P I as /proc/PID/stat gives it (fs/proc/array.c, task_state_array); nullopt when the layout lacks it.
    [[nodiscard]] std::optional<char> state() const;

private:
    TaskView(const Layout& layout, std::vector<std::byte> bytes) : layout_(layout), bytes_(std::move(bytes)) {}
    template <GuestScalar T>
    std::optional<T> get(FieldId id) const {
        const auto offset = layout_.offset(id);
        if (!offset) return std::nullopt;
        return ByteView(bytes_).get<T>(*offset);
    }

    const Layout& layout_;
    std::vector<std::byte> bytes_;
};

}  // namespace vitrine::linux_os
