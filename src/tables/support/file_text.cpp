#include "tables/support/file_text.h"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace vitrine::tables {
namespace {

// include/uapi/asm-generic/fcntl.h, in octal as there. What consists of others stands before them.
constexpr auto kOpenFlags = std::to_array<std::pair<std::uint32_t, std::string_view>>({
    {000000100, "O_CREAT"},
    {000000200, "O_EXCL"},
    {000000400, "O_NOCTTY"},
    {000001000, "O_TRUNC"},
    {000002000, "O_APPEND"},
    {000004000, "O_NONBLOCK"},
    {004010000, "O_SYNC"},
    {000010000, "O_DSYNC"},
    {000020000, "O_ASYNC"},
    {000040000, "O_DIRECT"},
    {000100000, "O_LARGEFILE"},
    {020200000, "O_TMPFILE"},
    {000200000, "O_DIRECTORY"},
    {000400000, "O_NOFOLLOW"},
    {001000000, "O_NOATIME"},
    {002000000, "O_CLOEXEC"},
    {010000000, "O_PATH"},
});
constexpr std::uint32_t kAccessMode = 3;

}  // namespace

std::string open_flags_text(std::uint32_t flags) {
    constexpr std::array<std::string_view, 4> kAccess{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
    std::string text(kAccess[flags & kAccessMode]);
    flags &= ~kAccessMode;
    for (const auto& [bits, name] : kOpenFlags) {
        if ((flags & bits) != bits) continue;
        text += fmt::format("|{}", name);
        flags &= ~bits;
    }
    if (flags != 0) text += fmt::format("|0{:o}", flags);
    return text;
}

std::optional<std::string_view> file_kind(std::uint32_t mode) {
    switch (mode & 0170000) {
        case 0010000: return "fifo";
        case 0020000: return "chr";
        case 0040000: return "directory";
        case 0060000: return "blk";
        case 0100000: return "regular";
        case 0120000: return "symlink";
        case 0140000: return "socket";
        default: return std::nullopt;
    }
}

std::string device_text(std::uint32_t device) {
    constexpr unsigned kMinorBits = 20;
    return fmt::format("{}:{}", device >> kMinorBits, device & ((1u << kMinorBits) - 1));
}

std::string permissions_text(std::uint32_t mode) { return fmt::format("{:04o}", mode & 07777); }

}  // namespace vitrine::tables
