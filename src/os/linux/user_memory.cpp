#include "os/linux/user_memory.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace vitrine::linux_os {

Result<Gpa> user_root(const LinuxGuest& guest, Gva mm) {
    if (mm.is_null()) return Error::make(Errc::not_found, Origin::guest, "user memory of a task without any");
    const auto offset = guest.layout().offset(FieldId::mm_pgd);
    if (!offset) return Error::make(Errc::not_found, Origin::types, "struct mm_struct.pgd");
    const Gva table = VITRINE_TRY(guest.space().read_pointer(mm.wrap_plus(*offset)));
    const Translation root = VITRINE_TRY(guest.space().translate(table));
    return Gpa{root.address.value & kPteAddressMask};
}

Result<const AddressSpace*> UserMemory::space_of(Gva mm) {
    const Gpa root = VITRINE_TRY(user_root(guest_, mm));
    // Also for the root it has: the guest may have run on.
    if (space_) space_->set_root(root);
    else space_.emplace(guest_.space().memory(), guest_.space().mode(), root);
    return &*space_;
}

Result<std::uint64_t> UserMemory::number(Gva mm, FieldId member) const {
    const auto offset = guest_.layout().offset(member);
    if (!offset)
        return Error::with_text(Errc::not_found, Origin::types,
                                fmt::format("struct mm_struct.{}", need(member).paths[0]));
    return guest_.space().read_value<std::uint64_t>(mm.wrap_plus(*offset));
}

Result<CommandLine> UserMemory::command_line(Gva mm, std::size_t max) {
    const std::uint64_t start = VITRINE_TRY(number(mm, FieldId::mm_arg_start));
    const std::uint64_t end = VITRINE_TRY(number(mm, FieldId::mm_arg_end));
    CommandLine line;
    if (start >= end) return line;
    const AddressSpace& user = *VITRINE_TRY(space_of(mm));
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

Result<Environment> UserMemory::environment(Gva mm, std::size_t max) {
    const std::uint64_t start = VITRINE_TRY(number(mm, FieldId::mm_env_start));
    const std::uint64_t end = VITRINE_TRY(number(mm, FieldId::mm_env_end));
    Environment found;
    if (start >= end) return found;
    const AddressSpace& user = *VITRINE_TRY(space_of(mm));
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
