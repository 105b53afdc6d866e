// Recordings. The first byte chooses: 0, what follows is a file, to which the right size and checksum are put; else it is an index (its
// length stands first) and contents as they are unpacked, of which a file is made. What is accepted can be read anywhere.
#include <zstd.h>

#include <cstdlib>
#include <cstring>

#include "sources/recorded/recorded_machine.h"

using namespace vitrine;

namespace {

constexpr std::size_t kHeader = 64;
using Bytes = std::vector<std::byte>;

void put(Bytes& file, std::size_t offset, std::uint64_t value, std::size_t size = 8) {
    std::memcpy(file.data() + offset, &value, size);
}

Bytes sealed(Bytes file) {
    if (file.size() < kHeader + 8) return file;
    put(file, 16, file.size());
    put(file, file.size() - 8, recording_checksum(std::span(file).first(file.size() - 8)));
    return file;
}

Bytes pack(std::span<const std::byte> bytes) {
    Bytes packed(ZSTD_compressBound(bytes.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 1));
    return packed;
}

Bytes file_of(std::span<const std::byte> index, std::span<const std::byte> contents) {
    static constexpr unsigned char kMark[] = {0x89, 'V', 'I', 'T', 'R', 'E', 'C', '\n', 1, 0, 0, 0};
    const Bytes index_packed = pack(index);
    const Bytes contents_packed = contents.empty() ? Bytes() : pack(contents);
    Bytes file(kHeader);
    std::memcpy(file.data(), kMark, sizeof(kMark));
    put(file, 24, index_packed.size());
    put(file, 32, index.size());
    put(file, 40, contents_packed.size());
    put(file, 48, contents.size() / kPageSize);
    file.insert(file.end(), index_packed.begin(), index_packed.end());
    file.insert(file.end(), contents_packed.begin(), contents_packed.end());
    file.resize(file.size() + 8);
    return sealed(std::move(file));
}

void require(bool holds) {
    if (!holds) std::abort();
}

void read_all(Machine& machine) {
    GuestMemory& memory = machine.memory();
    require(machine.layouts().front().validate(memory.store().size()).has_value());
    std::array<std::byte, 2 * kPageSize> bytes;
    std::size_t ranges = 0;
    for (const MemoryRange& range : memory.ranges()) {
        if (++ranges > 64) break;
        for (const MemoryRange& part : memory.populated(range)) {
            const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(part.size, kPageSize));
            require(memory.read(part.start, std::span(bytes).first(take)).has_value());
        }
        for (const std::uint64_t at : {std::uint64_t{0}, range.size / 2, range.size - 1}) {
            const auto read = memory.read(range.start.wrap_plus(at), bytes);
            require(read || !read.error().to_string().empty());
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 5) return 0;
    const auto input = std::as_bytes(std::span(data, size));
    Bytes file;
    if (data[0] == 0) {
        file = sealed(Bytes(input.begin() + 1, input.end()));
    } else {
        std::uint32_t length = 0;
        std::memcpy(&length, data + 1, sizeof(length));
        const std::size_t index = std::min<std::size_t>(length, size - 5);
        const auto contents = input.subspan(5 + index);
        file = file_of(input.subspan(5, index), contents.first(contents.size() / kPageSize * kPageSize));
    }
    auto recording = parse_recording(file);
    if (!recording) {
        require(!recording.error().to_string().empty());
        return 0;
    }
    for (const RecordedPage& page : recording->index.pages) {
        require(page.offset + page.size <= recording->index.store_size && page.size <= kPageSize);
        require(page.content >= RecordedPage::kUnreadable ||
                (page.content + 1) * kPageSize <= recording->contents.size());
    }
    const auto machine = make_recorded_machine(std::move(*recording), {});
    read_all(*machine);
    return 0;
}
