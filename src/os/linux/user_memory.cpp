#include "os/linux/user_memory.h"

#include <algorithm>
#include <array>

namespace vitrine::linux_os {

Result<AddressSpace> user_space(const LinuxGuest& guest, Gva mm) {
    if (mm.is_null()) return Error::make(Errc::not_found, Origin::guest, "user memory of a task without any");
    const auto offset = guest.layout().offset(FieldId::mm_pgd);
    if (!offset) return Error::make(Errc::not_found, Origin::types, "struct mm_struct.pgd");
    const Gva table = VITRINE_TRY(guest.space().read_pointer(mm.wrap_plus(*offset)));
    const Translation root = VITRINE_TRY(guest.space().translate(table));
    return AddressSpace(guest.space().memory(), guest.space().mode(), Gpa{root.address.value & kPteAddressMask});
}

Result<CommandLine> command_line(const LinuxGuest& guest, Gva mm, std::size_t max) {
    const Layout& layout = guest.layout();
    for (const FieldId id : {FieldId::mm_arg_start, FieldId::mm_arg_end}) {
        if (!layout.has(id)) return Error::make(Errc::not_found, Origin::types, "struct mm_struct.arg_start");
    }
    const auto start = VITRINE_TRY(
        guest.space().read_value<std::uint64_t>(mm.wrap_plus(layout.at(FieldId::mm_arg_start))));
    const auto end = VITRINE_TRY(guest.space().read_value<std::uint64_t>(mm.wrap_plus(layout.at(FieldId::mm_arg_end))));
    CommandLine line;
    if (start >= end) return line;
    const AddressSpace user = VITRINE_TRY(user_space(guest, mm));
    const std::uint64_t size = end - start;
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, max));
    line.bytes.resize(wanted);
    const std::size_t got = VITRINE_TRY(user.read_prefix(Gva{start}, std::as_writable_bytes(std::span(line.bytes))));
    line.bytes.resize(got);
    line.truncated = got < size;
    if (line.truncated || line.bytes.back() == '\0') return line;
    // The last byte is no NUL: setproctitle() wrote over the end. The kernel then shows up to the first NUL from the start on, at
    // most one page past the arguments (get_mm_proctitle).
    std::string title(std::min<std::size_t>(size + kPageSize, max), '\0');
    const std::size_t read = VITRINE_TRY(user.read_prefix(Gva{start}, std::as_writable_bytes(std::span(title))));
    title.resize(read);
    const std::size_t nul = title.find('\0');
    if (nul != std::string::npos) title.resize(nul + 1);
    line.bytes = std::move(title);
    return line;
}

Result<Environment> environment(const LinuxGuest& guest, Gva mm, std::size_t max) {
    const Layout& layout = guest.layout();
    if (!layout.has(FieldId::mm_env_start) || !layout.has(FieldId::mm_env_end))
        return Error::make(Errc::not_found, Origin::types, "struct mm_struct.env_start");
    const auto start = VITRINE_TRY(
        guest.space().read_value<std::uint64_t>(mm.wrap_plus(layout.at(FieldId::mm_env_start))));
    const auto end = VITRINE_TRY(guest.space().read_value<std::uint64_t>(mm.wrap_plus(layout.at(FieldId::mm_env_end))));
    Environment found;
    if (start >= end) return found;
    const AddressSpace user = VITRINE_TRY(user_space(guest, mm));
    // Page after page: what a forged length claims costs no memory before it is known to be there.
    for (std::uint64_t at = start; at < end && found.bytes.size() < max;) {
        std::array<std::byte, kPageSize> page;
        const std::uint64_t wanted = std::min(end - at, kPageSize - at % kPageSize);
        const std::size_t got = VITRINE_TRY(user.read_prefix(Gva{at}, std::span(page).first(wanted)));
        found.bytes.append(reinterpret_cast<const char*>(page.data()), got);
        if (got < wanted) break;
        at += wanted;
    }
    found.truncated = found.bytes.size() < end - start;
    return found;
}

}  // namespace vitrine::linux_os
