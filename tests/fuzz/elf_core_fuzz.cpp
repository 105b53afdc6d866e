// ELF cores: whatever the file holds, what is accepted has memory that lies in the file.
#include <cstdlib>
#include <cstring>

#include "sources/file/elf_core.h"
#include "sources/file/elf_notes.h"
#include "sources/file/known_formats.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto copy = [&](std::uint64_t offset, std::span<std::byte> out) {
        if (offset > size || size - offset < out.size()) std::abort();  // asked for more than there is
        if (!out.empty()) std::memcpy(out.data(), data + offset, out.size());
        return true;
    };
    if (auto known = known_format(bytes.first(std::min(size, kFormatHeadSize))); known && known->name.empty())
        std::abort();
    std::vector<VcpuState> vcpus;
    parse_elf_notes(bytes, true, vcpus);
    auto core = parse_elf_core({size, copy});
    if (!core) {
        if (core.error().to_string().empty()) std::abort();
        return 0;
    }
    if (!MemoryLayout{"core", core->in_file, true}.validate(size)) std::abort();
    std::uint64_t next = 0;
    for (const MemoryRange& range : core->zeros) {
        if (range.size == 0 || range.start.value < next) std::abort();
        next = range.start.value + range.size;
        for (const LayoutExtent& extent : core->in_file) {
            if (extent.start.value < next && range.start.value < extent.start.value + extent.size) std::abort();
        }
    }
    return 0;
}
