// The kernel of the guest: one row.
#include <algorithm>
#include <array>

#include "os/linux/kernel_facts.h"
#include "tables/row.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;
using tables::integer;

enum : std::size_t {
    kVersion,
    kArguments,
    kPath,
    kDevice,
    kCommandLine,
    kBanner,
    kBuildId,
    kText,
    kTextPhysical,
    kSlide,
    kHostname,
    kDomainname,
    kBootTime,
    kUptime,
    kCpusOnline,
    kTotalPages,
    kPageSizeColumn,
    kPagingLevels,
    kIsolation,
    kTaints,
    kRoute,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    {"version", ColumnType::text, "release, as uname -r"},
    {"arguments", ColumnType::text, "command line without BOOT_IMAGE= and root="},
    {"path", ColumnType::text, "BOOT_IMAGE= of the command line; NULL without one"},
    {"device", ColumnType::text, "root= of the command line; NULL without one"},
    {"command_line", ColumnType::text, "the whole command line, as /proc/cmdline"},
    {"banner", ColumnType::text, "\"Linux version ...\", as /proc/version"},
    {"build_id", ColumnType::text, "GNU build-id of the kernel, hexadecimal; NULL if the guest does not tell"},
    {"text", ColumnType::address, "address of _text"},
    {"text_physical", ColumnType::address, "guest-physical address of _text"},
    {"kaslr_slide", ColumnType::address, "how far the kernel was moved when it booted"},
    {"hostname", ColumnType::text, "host name, of the initial namespace"},
    {"domainname", ColumnType::text, "NIS domain name, of the initial namespace"},
    {"boot_time", ColumnType::integer, "boot, by the guest's clock", Unit::epoch_seconds},
    {"uptime", ColumnType::integer, "time since boot, when the kernel last looked at the clock", Unit::nanoseconds},
    {"cpus_online", ColumnType::integer, "processors in use"},
    {"memory_total", ColumnType::integer, "memory that the kernel manages", Unit::pages},
    {"page_size", ColumnType::integer, "size of a page", Unit::bytes},
    {"paging_levels", ColumnType::integer, "levels of page tables: 4 or 5"},
    {"page_table_isolation", ColumnType::boolean, "1: user mode has page tables of its own (PTI)"},
    {"taints", ColumnType::address, "taint bits, as /proc/sys/kernel/tainted"},
    {"route", ColumnType::text, "how the kernel was found: registers, page_tables, vmcoreinfo, or scan"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine table kernel_info qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT version, arguments, hostname, uptime / 1000000000 AS seconds FROM kernel_info",
    "SELECT addr(text), addr(kaslr_slide), paging_levels, page_table_isolation FROM kernel_info",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"one kernel", "SELECT count(*) FROM kernel_info HAVING count(*) <> 1"},
    {"the banner names the release", "SELECT banner FROM kernel_info WHERE instr(banner, version) = 0"},
    {"_text is a symbol at that address",
     "SELECT k.text FROM kernel_info k WHERE NOT EXISTS (SELECT 1 FROM symbols s WHERE s.name = '_text' AND s.address "
     "= k.text)"},
});

// Words of the command line as osquery takes them: a later one replaces an earlier one.
void split_command_line(std::string_view line, std::array<Value, kColumns>& row) {
    std::string others;
    while (!line.empty()) {
        const std::string_view word = line.substr(0, line.find(' '));
        line.remove_prefix(std::min(line.size(), word.size() + 1));
        constexpr std::string_view kImage = "BOOT_IMAGE=", kRootDevice = "root=";
        if (word.empty()) continue;
        if (word.starts_with(kImage)) row[kPath] = std::string(word.substr(kImage.size()));
        else if (word.starts_with(kRootDevice)) row[kDevice] = std::string(word.substr(kRootDevice.size()));
        else others.append(others.empty() ? "" : " ").append(word);
    }
    row[kArguments] = std::move(others);
}

std::string one_line(std::string_view banner) {
    return std::string(banner.substr(0, banner.find_last_not_of('\n') + 1));
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& /*context*/, RowSink& sink) {
    guest.new_generation();
    const KernelInfo& kernel = guest.kernel();
    const KernelFacts facts = read_kernel_facts(guest);
    std::array<Value, kColumns> row;
    row[kVersion] = kernel.release;
    row[kBanner] = one_line(kernel.banner);
    if (!kernel.build_id.empty()) row[kBuildId] = kernel.build_id;
    row[kText] = address(kernel.text_va);
    row[kTextPhysical] = address(kernel.text_pa.value);
    row[kSlide] = address(kernel.kaslr_slide);
    row[kPageSizeColumn] = static_cast<std::int64_t>(kPageSize);
    row[kPagingLevels] = std::int64_t{kernel.paging == PagingMode::x86_64_5level ? 5 : 4};
    row[kIsolation] = std::int64_t{kernel.page_table_isolation ? 1 : 0};
    row[kRoute] = std::string(to_string(kernel.route));
    if (facts.command_line) {
        split_command_line(*facts.command_line, row);
        row[kCommandLine] = *facts.command_line;
    }
    if (facts.hostname) row[kHostname] = *facts.hostname;
    if (facts.domainname) row[kDomainname] = *facts.domainname;
    if (facts.boot_time) row[kBootTime] = *facts.boot_time / 1'000'000'000;
    row[kUptime] = integer(facts.uptime);
    row[kCpusOnline] = integer(facts.cpus_online);
    row[kTotalPages] = integer(facts.total_pages);
    if (facts.taints) row[kTaints] = address(*facts.taints);
    WalkReport report;
    report.nodes = 1;
    if (!sink.row(row)) report.end = WalkEnd::stopped;
    return report;
}

constexpr auto kNeeds = std::to_array<const NeedGroup*>({&kKernelMembers});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeeds}});

}  // namespace

extern const Table table_kernel_info;
const Table table_kernel_info{{"kernel_info", "The guest's kernel: what it is, where it is, how it was started.", kSpec,
                               kExamples, kQueries, kInvariants},
                              kGenerators};

}  // namespace vitrine
