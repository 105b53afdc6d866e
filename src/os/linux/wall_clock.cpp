#include "os/linux/wall_clock.h"

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

std::optional<Gva> timekeeper(const LinuxGuest& guest) {
    // `tk_core` until v6.17, then the first element of the array `timekeeper_data` (Linux commit 22c62b9a84b8 "timekeeping: Introduce
    // auxiliary timekeepers"). Before struct tk_data had a name (v6.13) the timekeeper follows a 4-byte sequence counter.
    auto base = guest.proven().symbols.get(SymbolId::timekeeper_data);
    if (!base) base = guest.proven().symbols.get(SymbolId::tk_core);
    if (!base) return std::nullopt;
    return base->wrap_plus(guest.layout().offset(FieldId::tk_data_timekeeper).value_or(8));
}

std::optional<std::int64_t> boot_time(const LinuxGuest& guest) {
    const Layout& layout = guest.layout();
    if (!layout.has(FieldId::timekeeper_offs_real) || !layout.has(FieldId::timekeeper_offs_boot)) return std::nullopt;
    const auto keeper = timekeeper(guest);
    if (!keeper) return std::nullopt;
    const auto real = guest.space().read_value<std::int64_t>(
        keeper->wrap_plus(layout.at(FieldId::timekeeper_offs_real)));
    const auto boot = guest.space().read_value<std::int64_t>(
        keeper->wrap_plus(layout.at(FieldId::timekeeper_offs_boot)));
    constexpr std::int64_t kSecond = 1'000'000'000;
    constexpr std::int64_t kYear2000 = 946'684'800 * kSecond;
    constexpr std::int64_t kYear2200 = 7'258'118'400 * kSecond;
    if (!real || !boot || *boot < 0 || *boot > kYear2200 || *real < kYear2000 || *real > kYear2200) return std::nullopt;
    return *real - *boot;
}

}  // namespace vitrine::linux_os
