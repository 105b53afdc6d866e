// The text of one option of QEMU's command line.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

// "512M", "1G", "2097152k", "0x40000000"; without a suffix the unit is `default_unit` bytes. nullopt: no size, or too large.
std::optional<std::uint64_t> parse_qemu_size(std::string_view text, std::uint64_t default_unit);

// key=value pairs of an option, ",," standing for a comma. The first piece may lack its key: it gets `implied_key`. A later
// piece without "=" is key=on.
using QemuOption = std::multimap<std::string, std::string>;
QemuOption parse_qemu_option(std::string_view text, std::string_view implied_key);
// -object and -device also take JSON, which libvirt prefers. Values become the text that the plain form would have.
QemuOption parse_qemu_option_or_json(std::string_view text, std::string_view implied_key);

}  // namespace vitrine
