// Words for what files are, as user space has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine::tables {

// struct file.f_flags as names of open(2), joined by "|", the access mode first: "O_RDWR|O_APPEND". Bits without a name stay octal.
[[nodiscard]] std::string open_flags_text(std::uint32_t flags);

// The kind of inode.i_mode: regular, directory, symlink, chr, blk, fifo, socket; nullopt for none of them.
[[nodiscard]] std::optional<std::string_view> file_kind(std::uint32_t mode);

// The kernel's dev_t (include/linux/kdev_t.h) as "major:minor".
[[nodiscard]] std::string device_text(std::uint32_t device);

// Permission bits as stat(1) and osquery print them: "0644".
[[nodiscard]] std::string permissions_text(std::uint32_t mode);

}  // namespace vitrine::tables
