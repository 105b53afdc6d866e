#include "os/linux/task_view.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kLargest = 64 * 1024;  // a task_struct is 6 to 14 KiB

// Up to the last member that is asked for: the registers that follow are the larger part of the structure, and each page of it is a
// system call where memory has to be copied.
std::uint32_t bytes_wanted(const Layout& layout) {
    constexpr std::uint32_t kLongest = 16;  // comm, list_head
    std::uint32_t end = 0;
    for (auto i = static_cast<std::uint16_t>(FieldId::task_tasks); i <= static_cast<std::uint16_t>(FieldId::task_stack);
         ++i) {
        const auto id = static_cast<FieldId>(i);
        if (layout.has(id)) end = std::max(end, layout.at(id) + kLongest);
    }
    const std::uint32_t size = layout.struct_size(StructId::task_struct);
    return std::min(size != 0 ? std::min(end, size) : end, kLargest);
}

}  // namespace

std::optional<TaskView> TaskView::read(const LinuxGuest& guest, const TaskKey& key) {
    const Layout& layout = guest.layout();
    std::vector<std::byte> bytes(bytes_wanted(layout));
    if (!guest.space().read(key.address, bytes)) return std::nullopt;
    TaskView view(layout, std::move(bytes));
    if (view.i32(FieldId::task_pid) != key.pid || view.i32(FieldId::task_tgid) != key.tgid) return std::nullopt;
    return view;
}

// Only what is compared is read, in one go.
bool TaskView::still_holds(const AddressSpace& fresh, Gva address) const {
    static constexpr std::array kSame = {
        FieldId::task_real_parent, FieldId::task_mm,         FieldId::task_real_cred,      FieldId::task_fs,
        FieldId::task_signal,      FieldId::task_thread_pid, FieldId::task_start_boottime, FieldId::task_pid,
        FieldId::task_tgid,        FieldId::task_exit_state};
    constexpr std::size_t kWords = 7;  // the first ones; the others are of 32 bits
    std::array<std::array<std::byte, 8>, kSame.size()> now{};
    std::array<VirtualReadOp, kSame.size()> ops{};
    std::size_t count = 0;
    for (std::size_t i = 0; i < kSame.size(); ++i) {
        const auto offset = layout_.offset(kSame[i]);
        if (offset) ops[count++] = {address.wrap_plus(*offset), std::span(now[i]).first(i < kWords ? 8 : 4)};
    }
    const auto wanted = std::span(ops).first(count);
    if (!fresh.read_batch(wanted)) return false;
    for (const VirtualReadOp& op : wanted) {
        if (!op.ok) return false;
    }
    for (std::size_t i = 0; i < kSame.size(); ++i) {
        if (!layout_.offset(kSame[i]) || !u32(kSame[i])) continue;
        const bool same = i < kWords ? u64(kSame[i]) == load<std::uint64_t>(now[i].data())
                                     : u32(kSame[i]) == load<std::uint32_t>(now[i].data());
        if (!same) return false;
    }
    return true;
}

std::string TaskView::name() const {
    const auto offset = layout_.offset(FieldId::task_comm);
    const auto comm = offset ? ByteView(bytes_).sub(*offset, 16) : std::nullopt;
    if (!comm) return {};
    const auto* text = reinterpret_cast<const char*>(comm->span().data());
    return std::string(text, strnlen(text, comm->size()));
}

std::optional<char> TaskView::state() const {
    const auto state = u32(FieldId::task_state);
    const auto exit = u32(FieldId::task_exit_state);
    if (!state || !exit) return std::nullopt;
    constexpr std::uint32_t kUninterruptible = 0x2, kNoLoad = 0x400, kReported = 0x7f, kIdle = 0x80;
    constexpr std::string_view kLetters = "RSDTtXZPI";
    std::uint32_t reported = (*state | *exit) & kReported;
    if ((*state & (kUninterruptible | kNoLoad)) == (kUninterruptible | kNoLoad)) reported = kIdle;
    const auto index = static_cast<std::size_t>(std::bit_width(reported));
    return index < kLetters.size() ? std::optional(kLetters[index]) : std::nullopt;
}

}  // namespace vitrine::linux_os
