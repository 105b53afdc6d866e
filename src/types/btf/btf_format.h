// The BTF file format. Kernel: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "vitrine/base/bytes.h"
#include "vitrine/base/result.h"

namespace vitrine::btf {

inline constexpr std::uint16_t kMagic = 0xeb9f;
inline constexpr std::uint16_t kMagicSwapped = 0x9feb;
inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::uint32_t kMinHeader = 24;
// The header has grown once (layout section, Linux 7.1) and may again; section offsets count from its end.
inline constexpr std::uint32_t kMaxHeader = 256;
inline constexpr std::uint64_t kMaxBlob = std::uint64_t{256} << 20;
inline constexpr std::uint32_t kRecordSize = 12;
inline constexpr std::size_t kMaxName = 512;  // KSYM_NAME_LEN: the kernel refuses longer ones (__btf_name_valid())

enum Kind : std::uint8_t {
    kInt = 1,
    kPtr,
    kArray,
    kStruct,
    kUnion,
    kEnum,
    kFwd,
    kTypedef,
    kVolatile,
    kConst,
    kRestrict,
    kFunc,
    kFuncProto,
    kVar,
    kDataSec,
    kFloat,
    kDeclTag,
    kTypeTag,
    kEnum64,
};
inline constexpr std::uint32_t kMaxKind = kEnum64;

[[nodiscard]] std::string_view kind_name(std::uint32_t kind);

// A blob split into its sections, all inside the blob.
struct Sections {
    std::span<const std::byte> types;
    std::span<const std::byte> strings;
};

// is_split: a module's BTF, whose string section may be empty and need not begin with NUL.
Result<Sections> split_sections(std::span<const std::byte> blob, bool is_split);

// One type record, decoded.
struct Record {
    std::uint32_t name = 0;
    std::uint32_t kind = 0;
    std::uint32_t vlen = 0;
    bool kind_flag = false;
    std::uint32_t size_or_type = 0;
    const std::byte* extra = nullptr;  // extra_size bytes, inside the section
};

}  // namespace vitrine::btf
