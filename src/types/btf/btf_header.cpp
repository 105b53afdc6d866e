#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "types/btf/btf_format.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace btf {
namespace {

Error malformed(std::string text) { return Error::with_text(Errc::malformed, Origin::types, std::move(text)); }

struct Header {
    std::uint32_t length = 0;
    std::uint32_t type_offset = 0, type_bytes = 0;
    std::uint32_t string_offset = 0, string_bytes = 0;
    std::uint64_t end = 0;  // of the last section, from the start of the blob
};

Result<void> check_identity(std::uint16_t magic, std::uint8_t version, std::uint8_t flags) {
    if (magic == kMagicSwapped) {
        return Error::with_text(Errc::unsupported, Origin::types, "BTF of a big-endian machine");
    }
    if (magic != kMagic) return malformed("no BTF: the magic number is missing");
    if (version != kVersion) {
        return Error::with_text(Errc::unsupported, Origin::types, fmt::format("BTF version {}; 1 is known", version));
    }
    if (flags != 0) {
        return Error::with_text(Errc::unsupported, Origin::types, fmt::format("BTF header flags {:#x}", flags));
    }
    return {};
}

Result<Header> parse_header(std::span<const std::byte> bytes) {
    const ByteView view(bytes);
    if (view.size() < kMinHeader) return malformed("BTF header is cut short");
    VITRINE_CHECK(check_identity(*view.u16(0), *view.u8(2), *view.u8(3)));
    Header h;
    h.length = *view.u32(4);
    if (h.length < kMinHeader || h.length > kMaxHeader || h.length % 4 != 0) {
        return malformed(fmt::format("BTF header length {}", h.length));
    }
    h.type_offset = *view.u32(8);
    h.type_bytes = *view.u32(12);
    h.string_offset = *view.u32(16);
    h.string_bytes = *view.u32(20);
    if (h.type_offset % 4 != 0) return malformed("BTF type section is not aligned");
    const std::uint64_t types_end = std::uint64_t{h.type_offset} + h.type_bytes;
    const std::uint64_t strings_end = std::uint64_t{h.string_offset} + h.string_bytes;
    if (h.string_offset < types_end && h.type_offset < strings_end && h.string_bytes != 0 && h.type_bytes != 0) {
        return malformed("BTF sections overlap");
    }
    h.end = std::max(types_end, strings_end);
    // Linux 7.1: layout_off, layout_len after the four fields every version has.
    if (h.length >= 32) {
        if (view.size() < 32) return malformed("BTF header is cut short");
        h.end = std::max(h.end, std::uint64_t{*view.u32(24)} + *view.u32(28));
    }
    h.end += h.length;
    if (h.end > kMaxBlob) {
        return Error::with_text(Errc::limit, Origin::types,
                                fmt::format("BTF of {} bytes; at most {} are read", h.end, kMaxBlob));
    }
    return h;
}

// Any number of records may name one string, or parts of it: names are read as often as they are named, so one of megabytes
// would take hours.
Result<void> check_name_lengths(std::span<const std::byte> strings) {
    for (std::size_t begin = 0; begin < strings.size();) {
        const std::size_t window = std::min(kMaxName + 1, strings.size() - begin);
        const auto* first = strings.data() + begin;
        const auto* last = static_cast<const std::byte*>(memrchr(first, 0, window));
        if (last == nullptr) {
            return Error::with_text(Errc::limit, Origin::types,
                                    fmt::format("a BTF name is longer than {} characters", kMaxName));
        }
        begin += static_cast<std::size_t>(last - first) + 1;
    }
    return {};
}

}  // namespace

std::string_view kind_name(std::uint32_t kind) {
    constexpr std::string_view kNames[] = {
        "UNKNOWN", "INT",      "PTR",  "ARRAY",      "STRUCT", "UNION",   "ENUM",  "FWD",      "TYPEDEF",  "VOLATILE",
        "CONST",   "RESTRICT", "FUNC", "FUNC_PROTO", "VAR",    "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64"};
    return kind <= kMaxKind ? kNames[kind] : "unknown kind";
}

Result<Sections> split_sections(std::span<const std::byte> blob, bool is_split) {
    const Header h = VITRINE_TRY(parse_header(blob));
    if (h.end > blob.size()) return malformed("BTF sections reach past the end of the data");
    const Sections sections{blob.subspan(std::size_t{h.length} + h.type_offset, h.type_bytes),
                            blob.subspan(std::size_t{h.length} + h.string_offset, h.string_bytes)};
    if (sections.strings.empty()) {
        if (is_split) return sections;
        return malformed("BTF string section is empty");
    }
    if (sections.strings.back() != std::byte{0}) return malformed("BTF string section does not end with NUL");
    if (!is_split && sections.strings.front() != std::byte{0}) {
        return malformed("BTF string section does not begin with the empty string");
    }
    VITRINE_CHECK(check_name_lengths(sections.strings));
    return sections;
}

}  // namespace btf

Result<BtfExtent> btf_extent(std::span<const std::byte> header_bytes) {
    const btf::Header h = VITRINE_TRY(btf::parse_header(header_bytes));
    return BtfExtent{h.end, h.type_bytes, h.string_bytes};
}

}  // namespace vitrine
