// Registers of the virtual processors.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"cpu", ColumnType::integer, "number of the vCPU"},
    {"cpl", ColumnType::integer, "privilege level: 0 kernel, 3 user"},
    {"rip", ColumnType::address, "instruction pointer; under TCG it may lag on a running guest"},
    {"rsp", ColumnType::address, "stack pointer; as rip"},
    {"rflags", ColumnType::address, "flags; as rip"},
    {"cr0", ColumnType::address, "control register 0"},
    {"cr2", ColumnType::address, "page-fault address"},
    {"cr3", ColumnType::address, "page-table root and PCID"},
    {"cr4", ColumnType::address, "control register 4"},
    {"efer", ColumnType::address, "extended feature enables"},
    {"idt_base", ColumnType::address, "interrupt descriptor table"},
    {"gdt_base", ColumnType::address, "global descriptor table"},
    {"fs_base", ColumnType::address, "FS base"},
    {"gs_base", ColumnType::address, "GS base"},
    {"kernel_gs_base", ColumnType::address, "GS base swapped in by SWAPGS; NULL where it cannot be read"},
    {"lstar", ColumnType::address, "entry of SYSCALL; NULL where it cannot be read"},
    {"cstar", ColumnType::address, "entry of SYSCALL in compatibility mode; NULL where it cannot be read"},
    {"star", ColumnType::address, "segments of SYSCALL; NULL where it cannot be read"},
    {"sfmask", ColumnType::address, "flags cleared by SYSCALL; NULL where it cannot be read"},
    {"sysenter_eip", ColumnType::address, "entry of SYSENTER; NULL where it cannot be read"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine vcpus qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT cpu, cpl, addr(rip), sym(rip) FROM vcpus",
    "SELECT cpu, sym(lstar) FROM vcpus WHERE lstar IS NOT NULL",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a vCPU once", "SELECT cpu FROM vcpus GROUP BY cpu HAVING count(*) > 1"},
    {"privilege levels are 0 or 3", "SELECT cpu, cpl FROM vcpus WHERE cpl NOT IN (0, 3)"},
});

Value optional_address(const std::optional<std::uint64_t>& value) { return value ? tables::address(*value) : Value(); }

Result<WalkReport> generate(Guest& guest, QueryContext&, RowSink& sink) {
    VcpuRegisters* registers = guest.machine().registers();
    if (registers == nullptr) {
        return Error::with_text(Errc::unsupported, Origin::source, "this target gives no CPU registers",
                                "registers come from a running VM (a QMP socket, or KVM), or from an ELF core of one");
    }
    const auto states = VITRINE_TRY(registers->read_registers(RegisterSet::all));
    WalkReport report;
    for (const VcpuState& s : states) {
        using tables::address;
        const std::array<Value, kSpec.size()> row = {std::int64_t{s.index},
                                                     std::int64_t{s.cpl()},
                                                     address(s.rip),
                                                     address(s.gpr[4]),
                                                     address(s.rflags),
                                                     address(s.cr0),
                                                     address(s.cr2),
                                                     address(s.cr3),
                                                     address(s.cr4),
                                                     address(s.efer),
                                                     address(s.idt.base),
                                                     address(s.gdt.base),
                                                     address(s.fs_base),
                                                     address(s.gs_base),
                                                     optional_address(s.kernel_gs_base),
                                                     optional_address(s.lstar),
                                                     optional_address(s.cstar),
                                                     optional_address(s.star),
                                                     optional_address(s.sfmask),
                                                     optional_address(s.sysenter_eip)};
        ++report.nodes;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"", generate}});

}  // namespace

extern const Table table_vcpus;
const Table table_vcpus{
    {"vcpus", "Registers of the guest's virtual processors.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
