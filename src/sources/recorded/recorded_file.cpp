#include "sources/recorded/recorded_file.h"

#include <zstd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "sources/recorded/index_coder.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace vitrine {
namespace {

// As PNG's: a byte above 0x7f and a line end show what was sent as text.
constexpr std::array<unsigned char, 8> kMark{0x89, 'V', 'I', 'T', 'R', 'E', 'C', '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kChecksumSize = 8;
constexpr std::uint64_t kMostIndex = 64u << 20;
constexpr std::size_t kMostExtents = std::size_t{1} << 20;
constexpr std::size_t kMostVcpus = 4096;
constexpr std::size_t kMostQueries = 1024;
// What is made of a recording packs a hundredfold at best: more is a trap.
constexpr std::uint64_t kMostRatio = 4096;

struct Header {
    std::uint64_t file_size = 0;
    std::uint64_t index_packed = 0, index_size = 0;
    std::uint64_t contents_packed = 0, contents_pages = 0;
};

template <class Coder, class Optional>
void code_optional(Coder& coder, Optional& value) {
    std::uint8_t known = value.has_value() ? 1 : 0;
    std::uint64_t number = value.value_or(0);
    coder.number(known);
    coder.number(number);
    coder.require(known <= 1);
    if constexpr (Coder::kReads) {
        if (known == 1) value = number;
    }
}

template <class Coder, class Vcpu>
void code_vcpu(Coder& coder, Vcpu& s) {
    coder.number(s.index);
    for (auto* value : {&s.cr0, &s.cr2, &s.cr3, &s.cr4, &s.efer, &s.rip, &s.rflags}) coder.number(*value);
    for (auto& value : s.gpr) coder.number(value);
    coder.number(s.cs);
    for (auto* value : {&s.fs_base, &s.gs_base, &s.idt.base, &s.gdt.base}) coder.number(*value);
    coder.number(s.idt.limit);
    coder.number(s.gdt.limit);
    for (auto* value :
         {&s.kernel_gs_base, &s.star, &s.lstar, &s.cstar, &s.sfmask, &s.sysenter_cs, &s.sysenter_esp, &s.sysenter_eip})
        code_optional(coder, *value);
}
constexpr std::size_t kVcpuSize = 4 + 23 * 8 + 2 + 4 * 8 + 8 + 8 * 9;

template <class Coder, class Index>
void code_index(Coder& coder, Index& index) {
    coder.text(index.facts.target);
    coder.text(index.facts.kernel);
    coder.number(index.facts.recorded_at);
    coder.count(index.facts.queries, kMostQueries, 4);
    for (auto& query : index.facts.queries) coder.text(query);
    coder.text(index.machine_kind);
    coder.text(index.machine_name);
    coder.text(index.uncovered);

    coder.number(index.store_size);
    coder.text(index.layout.name);
    std::uint8_t certain = index.layout.certain ? 1 : 0;
    coder.number(certain);
    coder.require(certain <= 1);
    if constexpr (Coder::kReads) index.layout.certain = certain == 1;
    coder.count(index.layout.extents, kMostExtents, 24);
    for (auto& extent : index.layout.extents) {
        coder.number(extent.start.value);
        coder.number(extent.size);
        coder.number(extent.offset);
    }

    coder.text(index.registers.route);
    coder.count(index.registers.vcpus, kMostVcpus, kVcpuSize);
    for (auto& vcpu : index.registers.vcpus) code_vcpu(coder, vcpu);

    // By columns: they pack better.
    coder.count(index.pages, RecordingStore::kMostPlaces, 14);
    for (auto& page : index.pages) coder.number(page.offset);
    for (auto& page : index.pages) coder.number(page.size);
    for (auto& page : index.pages) coder.number(page.content);
}

Error damaged(std::string_view why) {
    return Error::with_text(Errc::malformed, Origin::source, fmt::format("damaged recording: {}", why),
                            "record the guest again, or take another copy of the file");
}

Result<Header> parse_header(std::span<const std::byte> file) {
    const ByteView view(file);
    if (!has_recording_mark(file)) return damaged("no recording");
    const std::uint32_t version = view.u32(8).value_or(0);
    if (file.size() >= 12 && version != kVersion) {
        return Error::with_text(
            Errc::unsupported, Origin::source,
            fmt::format("a recording of format version {}; this program reads version {}", version, kVersion),
            "use the program that made it, or a newer one");
    }
    if (file.size() < kHeaderSize + kChecksumSize) return damaged("it is cut short");
    Header header{*view.u64(16), *view.u64(24), *view.u64(32), *view.u64(40), *view.u64(48)};
    if (header.file_size != file.size()) {
        return damaged(fmt::format("it has {} bytes and should have {}", file.size(), header.file_size));
    }
    const std::uint64_t room = file.size() - kHeaderSize - kChecksumSize;
    if (header.index_packed > room || header.contents_packed != room - header.index_packed)
        return damaged("its parts do not add up");
    if (view.u64(file.size() - kChecksumSize) != recording_checksum(file.first(file.size() - kChecksumSize)))
        return damaged("its checksum is wrong");
    if (header.index_size > kMostIndex || header.contents_pages > RecordingStore::kMostPages ||
        header.index_size / kMostRatio > header.index_packed ||
        header.contents_pages * kPageSize / kMostRatio > header.contents_packed)
        return damaged("it claims to hold more than a recording can");
    return header;
}

// To exactly the size that is told.
Result<void> unpack(std::span<const std::byte> packed, std::span<std::byte> out) {
    const std::size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(got) != 0 || got != out.size()) return damaged("a part of it cannot be unpacked");
    return {};
}

Result<void> check_pages(const RecordedIndex& index, std::uint64_t contents) {
    std::uint64_t free_from = 0;
    for (const RecordedPage& page : index.pages) {
        const bool fits = page.size > 0 && page.size <= kPageSize && page.offset >= free_from &&
                          page.offset <= index.store_size && index.store_size - page.offset >= page.size;
        if (!fits) return damaged("a page lies where none can be");
        free_from = page.offset + page.size;
        if (page.content >= contents && page.content < RecordedPage::kUnreadable)
            return damaged("a page has contents that are not there");
    }
    return {};
}

// Of the pages of a recording of all tables level 9 leaves 24 % in 0.4 s, level 12 as much in 0.7 s, level 19 20 % in 7 s.
Result<std::vector<std::byte>> pack(std::span<const std::byte> from, Packing packing) {
    const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
    if (!context) return Error::make(Errc::limit, Origin::source, "memory for packing a recording");
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, packing == Packing::small ? 19 : 9);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, from.size() > (8u << 20) ? 26 : 23);
    std::vector<std::byte> packed(ZSTD_compressBound(from.size()));
    const std::size_t size = ZSTD_compress2(context.get(), packed.data(), packed.size(), from.data(), from.size());
    if (ZSTD_isError(size) != 0)
        return Error::with_text(Errc::limit, Origin::source,
                                fmt::format("packing a recording: {}", ZSTD_getErrorName(size)));
    packed.resize(size);
    return packed;
}

}  // namespace

bool has_recording_mark(std::span<const std::byte> head) {
    return head.size() >= kMark.size() && std::memcmp(head.data(), kMark.data(), kMark.size()) == 0;
}

std::uint64_t recording_checksum(std::span<const std::byte> all_before) {
    return XXH3_64bits(all_before.data(), all_before.size());
}

Result<RecordedFile> parse_recording(std::span<const std::byte> file) {
    const Header header = VITRINE_TRY(parse_header(file));
    std::vector<std::byte> unpacked(static_cast<std::size_t>(header.index_size));
    VITRINE_CHECK(unpack(file.subspan(kHeaderSize, static_cast<std::size_t>(header.index_packed)), unpacked));
    RecordedFile recording;
    recorded::Reader reader(unpacked);
    code_index(reader, recording.index);
    if (!reader.at_end()) return damaged("its index makes no sense");
    RecordedIndex& index = recording.index;
    if (auto valid = index.layout.validate(index.store_size); !valid) return damaged(valid.error().to_string());
    VITRINE_CHECK(check_pages(index, header.contents_pages));
    if (header.contents_pages == 0) return recording;
    recording.contents = LargeBuffer(static_cast<std::size_t>(header.contents_pages * kPageSize));
    if (recording.contents.size() == 0) return Error::make(Errc::limit, Origin::source, "memory for a recording");
    VITRINE_CHECK(unpack(file.subspan(kHeaderSize + static_cast<std::size_t>(header.index_packed),
                                      static_cast<std::size_t>(header.contents_packed)),
                         recording.contents.span()));
    return recording;
}

Result<std::vector<std::byte>> write_recording(const RecordedIndex& index, std::span<const std::byte> contents,
                                               Packing packing) {
    recorded::Writer writer;
    code_index(writer, index);
    if (!writer.ok() || writer.bytes().size() > kMostIndex || contents.size() / kPageSize > RecordingStore::kMostPages)
        return Error::with_text(Errc::limit, Origin::source, "more than a recording can hold");
    const auto index_packed = VITRINE_TRY(pack(writer.bytes(), packing));
    const auto contents_packed = contents.empty() ? std::vector<std::byte>() : VITRINE_TRY(pack(contents, packing));

    recorded::Writer file;
    for (const unsigned char byte : kMark) file.number(byte);
    file.number(kVersion);
    file.number(std::uint32_t{0});
    const std::uint64_t size = kHeaderSize + index_packed.size() + contents_packed.size() + kChecksumSize;
    const std::uint64_t numbers[] = {
        size, index_packed.size(), writer.bytes().size(), contents_packed.size(), contents.size() / kPageSize, 0};
    for (const std::uint64_t number : numbers) file.number(number);
    std::vector<std::byte> bytes = file.bytes();
    bytes.reserve(static_cast<std::size_t>(size));
    bytes.insert(bytes.end(), index_packed.begin(), index_packed.end());
    bytes.insert(bytes.end(), contents_packed.begin(), contents_packed.end());
    const std::uint64_t checksum = recording_checksum(bytes);
    const auto sum = std::as_bytes(std::span<const std::uint64_t, 1>(&checksum, 1));
    bytes.insert(bytes.end(), sum.begin(), sum.end());
    return bytes;
}

}  // namespace vitrine
