#include "os/linux/find/build_id.h"

#include <fmt/format.h>

namespace vitrine::linux_os {

std::string build_id_of_notes(std::span<const std::byte> notes) {
    constexpr std::uint32_t kGnuBuildId = 3;
    const ByteView view(notes);
    std::uint64_t at = 0;
    while (at + 12 <= notes.size()) {
        const std::uint64_t name_size = *view.u32(at);
        const std::uint64_t desc_size = *view.u32(at + 4);
        const std::uint32_t type = *view.u32(at + 8);
        const std::uint64_t name_at = at + 12;
        const std::uint64_t desc_at = name_at + (name_size + 3) / 4 * 4;
        const auto name = view.sub(name_at, name_size);
        const auto desc = view.sub(desc_at, desc_size);
        if (!name || !desc) return {};
        const auto text = name->c_string(0, 4);
        if (type == kGnuBuildId && text == "GNU" && desc_size >= 8 && desc_size <= 64) {
            std::string hex;
            for (std::byte b : desc->span()) hex += fmt::format("{:02x}", static_cast<unsigned>(b));
            return hex;
        }
        at = desc_at + (desc_size + 3) / 4 * 4;
    }
    return {};
}

std::string read_build_id(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto start = kernel.symbols.get(SymbolId::start_notes);
    const auto stop = kernel.symbols.get(SymbolId::stop_notes);
    constexpr std::uint64_t kMost = 64 * 1024;
    if (!start || !stop || *stop <= *start || stop->value - start->value > kMost) return {};
    const auto notes = read_region(memory, kernel.image, *start, stop->value - start->value);
    if (!notes) return {};
    return build_id_of_notes(notes->bytes);
}

}  // namespace vitrine::linux_os
