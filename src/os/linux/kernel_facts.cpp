#include "os/linux/kernel_facts.h"

#include <array>

#include "os/linux/layout.h"
#include "os/linux/member_reader.h"
#include "os/linux/wall_clock.h"

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kUtsName, kNodename, kDomainname, kBase, kNanoseconds, kShift };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"uts_namespace", {"name"}, MemberShape::record, false},
    {"new_utsname", {"nodename"}, MemberShape::text, false},
    {"new_utsname", {"domainname"}, MemberShape::text, false},
    {"timekeeper", {"tkr_mono.base"}, MemberShape::u64, false},
    {"timekeeper", {"tkr_mono.xtime_nsec"}, MemberShape::u64, false},
    {"timekeeper", {"tkr_mono.shift"}, MemberShape::u32, false},
});

enum : std::size_t { kCommandLine, kUtsNamespace, kTotalPages, kCpusOnline, kTaints };
constexpr auto kSymbols = std::to_array<std::string_view>(
    {"saved_command_line", "init_uts_ns", "_totalram_pages", "__num_online_cpus", "tainted_mask"});

constexpr std::size_t kCommandLineMax = 64 *
                                        1024;  // COMMAND_LINE_SIZE is 2,048 on x86; a bootconfig may make it longer

template <GuestScalar T>
std::optional<T> value_at(const LinuxGuest& guest, std::optional<Gva> at) {
    const auto value = at ? guest.space().read_value<T>(*at) : Result<T>(Error{});
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::string> command_line_at(const LinuxGuest& guest, std::optional<Gva> variable) {
    const auto text = value_at<std::uint64_t>(guest, variable);
    if (!text || *text == 0) return std::nullopt;
    auto line = guest.space().read_c_string(Gva{*text}, kCommandLineMax);
    if (!line || line->truncated) return std::nullopt;
    return std::move(line->bytes);
}

// CLOCK_BOOTTIME when the kernel last looked at the clock: at most a tick ago, longer when all processors sleep.
std::optional<std::uint64_t> uptime(const LinuxGuest& guest, const MemberReader& read) {
    constexpr std::int64_t kCentury = 3'155'760'000'000'000'000;
    const auto keeper = timekeeper(guest);
    const auto boot_offset = guest.layout().offset(FieldId::timekeeper_offs_boot);
    if (!keeper || !boot_offset) return std::nullopt;
    const auto base = read.signed_number(*keeper, kBase);
    const auto rest = read.number(*keeper, kNanoseconds), shift = read.number(*keeper, kShift);
    const auto slept = guest.space().read_value<std::int64_t>(keeper->wrap_plus(*boot_offset));
    if (!base || !rest || !shift || !slept || *shift > 63) return std::nullopt;
    const std::uint64_t fraction = *rest >> *shift;
    if (*base < 0 || *base > kCentury || *slept < 0 || *slept > kCentury || fraction > 1'000'000'000'000)
        return std::nullopt;
    return static_cast<std::uint64_t>(*base + *slept) + fraction;
}

}  // namespace

const NeedGroup kKernelMembers{"facts about the kernel", kMembers};

KernelFacts read_kernel_facts(LinuxGuest& guest) {
    KernelFacts facts;
    facts.boot_time = boot_time(guest);
    const auto symbols = guest.find_symbols(kSymbols);
    if (!symbols) return facts;
    facts.command_line = command_line_at(guest, (*symbols)[kCommandLine]);
    facts.total_pages = value_at<std::uint64_t>(guest, (*symbols)[kTotalPages]);
    facts.cpus_online = value_at<std::uint32_t>(guest, (*symbols)[kCpusOnline]);
    facts.taints = value_at<std::uint64_t>(guest, (*symbols)[kTaints]);
    const auto members = guest.members(kKernelMembers);
    if (!members) return facts;
    const MemberReader read(guest.space(), **members);
    facts.uptime = uptime(guest, read);
    if (const auto uts = (*symbols)[kUtsNamespace]; uts && read.has(kUtsName)) {
        facts.hostname = read.text(read.address(*uts, kUtsName), kNodename);
        facts.domainname = read.text(read.address(*uts, kUtsName), kDomainname);
    }
    return facts;
}

}  // namespace vitrine::linux_os
