#include "os/linux/pid_numbers.h"

namespace vitrine::linux_os {

std::optional<std::int32_t> initial_pid(const LinuxGuest& guest, Gva signal, FieldId member) {
    const auto offset = guest.layout().offset(member);
    const auto numbers = guest.layout().offset(FieldId::pid_numbers);
    if (!offset || !numbers) return std::nullopt;
    const auto pid = guest.space().read_pointer(signal.wrap_plus(*offset));
    if (!pid) return std::nullopt;
    if (pid->is_null()) return 0;
    const auto number = guest.space().read_value<std::int32_t>(pid->wrap_plus(*numbers));
    return number ? std::optional(*number) : std::nullopt;
}

std::optional<std::string> namespace_pids(const LinuxGuest& guest, const TaskView& task) {
    const Layout& layout = guest.layout();
    const auto pid = task.pointer(FieldId::task_thread_pid);
    const auto level_at = layout.offset(FieldId::pid_level);
    const auto numbers_at = layout.offset(FieldId::pid_numbers);
    const std::uint32_t stride = layout.struct_size(StructId::upid);
    if (!pid || pid->is_null() || !level_at || !numbers_at || stride == 0) return std::nullopt;
    constexpr std::uint32_t kDeepest = 32;  // MAX_PID_NS_LEVEL
    const auto level = guest.space().read_value<std::uint32_t>(pid->wrap_plus(*level_at));
    if (!level || *level > kDeepest) return std::nullopt;
    std::string text;
    for (std::uint32_t i = 0; i <= *level; ++i) {
        const auto number = guest.space().read_value<std::int32_t>(
            pid->wrap_plus(*numbers_at + std::uint64_t{i} * stride));
        if (!number) return std::nullopt;
        text += (i == 0 ? "" : " ") + std::to_string(*number);
    }
    return text;
}

}  // namespace vitrine::linux_os
