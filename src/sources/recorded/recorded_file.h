// The file format of recordings, version 1. docs/recordings.md describes it byte by byte.
//
//   header    64 bytes: mark, version, sizes of what follows, packed and unpacked
//   index     zstd: where the recording came from, the layout, registers, and which page lies where
//   contents  zstd: 4 KiB for each page with bytes of its own
//   checksum  XXH3, 64 bits, of everything before it
//
// A file is hostile: each count, size and offset is checked before it is used, and nothing unpacks to more than the header told, which
// is bounded. The checksum tells damage from other errors; it proves nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/large_buffer.h"
#include "sources/recorded/recording_state.h"
#include "vitrine/base/result.h"
#include "vitrine/machine/recorder.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

// Where the bytes of the page at `offset` of the store are: at contents[content * 4 KiB], or one of the two below.
struct RecordedPage {
    static constexpr std::uint32_t kZeros = 0xffff'ffff;
    static constexpr std::uint32_t kUnreadable = 0xffff'fffe;
    std::uint64_t offset = 0;
    std::uint16_t size = 0;  // 1 to 4096
    std::uint32_t content = kZeros;
};

struct RecordedIndex {
    RecordingFacts facts;
    std::string machine_kind;  // MachineInfo's
    std::string machine_name;
    std::string uncovered;
    std::uint64_t store_size = 0;
    MemoryLayout layout;
    RecordedRegisters registers;
    std::vector<RecordedPage> pages;  // sorted, disjoint
};

struct RecordedFile {
    RecordedIndex index;
    LargeBuffer contents;  // whole pages; empty when there is none with bytes of its own
};

inline constexpr std::uint64_t kMostRecordingBytes = std::uint64_t{1} << 31;

// head: at least the first 8 bytes of a file.
[[nodiscard]] bool has_recording_mark(std::span<const std::byte> head);

// Errors: malformed (damaged or cut short), unsupported (another version), limit (memory of this host), with a text of one line.
Result<RecordedFile> parse_recording(std::span<const std::byte> file);

enum class Packing : std::uint8_t { fast, small };

// The file's bytes. contents is a multiple of 4 KiB.
Result<std::vector<std::byte>> write_recording(const RecordedIndex& index, std::span<const std::byte> contents,
                                               Packing packing = Packing::fast);

// Of all but the last 8 bytes, which it becomes. For the writer and for tests that alter a file.
[[nodiscard]] std::uint64_t recording_checksum(std::span<const std::byte> all_before);

}  // namespace vitrine
