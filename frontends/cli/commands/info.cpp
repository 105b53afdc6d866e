#include <fmt/format.h>

#include <algorithm>

#include "commands/commands.h"
#include "commands/info_data.h"
#include "render/wrap.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine info qemu:web1", "what runs there, how it was found, what the answer rests on"},
    {"vitrine info memory.img --no-cache", "learning everything anew, with the time of each step"},
    {"vitrine info qemu:web1 --format json", "the same for a program: an array with one object"},
};

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

std::string paging_text(const KernelInfo& kernel) {
    return fmt::format("{}, {}", to_string(kernel.paging),
                       kernel.page_table_isolation ? "page-table isolation on" : "no page-table isolation");
}

// For a person: sections of "name  value" lines.
class Report {
public:
    explicit Report(Session& session) : out_(session.out()), style_(session.style()) {}

    void section(std::string_view title) {
        if (!first_) out_.write("\n");
        first_ = false;
        out_.write(style_.color ? fmt::format("\x1b[1m{}\x1b[0m\n", title) : fmt::format("{}\n", title));
    }
    // Left out when the value is empty: unknown.
    void line(std::string_view name, std::string_view value) {
        if (value.empty()) return;
        out_.write(hanging_lines(fmt::format("  {:<13} ", name), to_terminal_text(value), kValueColumn, style_.width));
    }
    void item(std::string_view text, std::size_t indent = 4) {
        out_.write(hanging_lines("  ", to_terminal_text(text), indent, style_.width));
    }

private:
    static constexpr std::size_t kValueColumn = 16;
    Output& out_;
    Style style_;
    bool first_ = true;
};

std::string machine_text(const MachineInfo& info) {
    std::string text = info.kind;
    if (!info.version.empty()) text += " " + info.version;
    if (!info.accelerator.empty()) text += ", " + info.accelerator;
    if (!info.machine_type.empty()) text += ", " + info.machine_type;
    return text;
}

RegisterAccount read_registers(const Session& session, Machine& machine) {
    RegisterAccount registers;
    VcpuRegisters* source = session.settings().use_registers ? machine.registers() : nullptr;
    if (source == nullptr) {
        registers.why_not = session.settings().use_registers ? "this source has none, or no route to them"
                                                             : "not wanted (--no-registers)";
        return registers;
    }
    auto vcpus = source->read_registers(RegisterSet::control);
    if (!vcpus) {
        registers.why_not = vcpus.error().to_string();
        return registers;
    }
    registers.route = std::string(source->route());
    registers.vcpus = std::move(*vcpus);
    return registers;
}

void show_machine(Report& report, Machine& machine) {
    const MachineInfo& info = machine.info();
    report.section("Machine");
    report.line("name", info.name);
    report.line("kind", machine_text(info));
    if (info.pid) report.line("pid", fmt::format("{}", *info.pid));
    report.line("memory",
                fmt::format("{}, {}", size_text(machine.memory().total_size()), to_string(machine.memory().method())));
    report.line("backend", info.backend);
    report.line("layout", machine.memory().layout().name);
    for (const LayoutExtent& extent : machine.memory().layout().extents) {
        report.line("", fmt::format("{:#014x}-{:#014x}  {}", extent.start.value, extent.start.value + extent.size,
                                    size_text(extent.size)));
    }
    report.line("QMP socket", info.qmp_socket);
    for (const std::string& note : info.notes) report.line("note", note);
    if (!info.unproven_order.empty()) report.line("note", info.unproven_order);
}

void show_kernel(Report& report, const KernelInfo& kernel) {
    report.section("Kernel");
    report.line("release", kernel.release);
    report.line("banner", kernel.banner);
    report.line("build-id", kernel.build_id);
    report.line("text", fmt::format("{} virtual, {} physical", hex(kernel.text_va.value), hex(kernel.text_pa.value)));
    report.line("KASLR slide", hex(kernel.kaslr_slide));
    report.line("paging", fmt::format("{}, root {}", paging_text(kernel), hex(kernel.root.value)));
    report.line("found by",
                fmt::format("{}{}", to_string(kernel.route), kernel.from_cache ? ", layout from the cache" : ""));
    report.line("symbols", kernel.symbols_from);
    report.line("types", kernel.types_from);
}

void show_registers(Report& report, const RegisterAccount& registers) {
    report.section("Processors");
    if (!registers.why_not.empty()) {
        report.item(fmt::format("registers unknown: {}", registers.why_not));
        return;
    }
    report.line("read by", registers.route);
    for (const VcpuState& vcpu : registers.vcpus) {
        report.line(fmt::format("cpu {}", vcpu.index),
                    fmt::format("rip {:#x} cpl {} cr3 {:#x} cr4 {:#x} efer {:#x}", vcpu.rip, vcpu.cpl(), vcpu.cr3,
                                vcpu.cr4, vcpu.efer));
    }
}

void show_account(Report& report, const Guest& guest) {
    const KernelInfo& kernel = guest.kernel();
    report.section("What the answer rests on");
    for (const std::string& check : kernel.checks) report.item(check);
    if (const std::string doubt = guest.doubt(); !doubt.empty()) report.item("NOTE: " + doubt);
    for (const std::string& refused : kernel.rejected) report.item(fmt::format("refused: {}", refused));
    report.section("Time");
    constexpr std::size_t kStepColumn = 14;
    std::chrono::microseconds total{};
    for (const AttachStep& step : kernel.steps) {
        report.item(fmt::format("{:>10}  {}{}{}", duration_text(step.took), step.name, step.outcome.empty() ? "" : ": ",
                                step.outcome),
                    kStepColumn);
        total += step.took;
    }
    report.item(fmt::format("{:>10}  in all", duration_text(total)));
}

int run(Session& session, const Arguments& arguments) {
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    Machine& machine = (*guest)->machine();
    const KernelInfo& kernel = (*guest)->kernel();
    const RegisterAccount registers = read_registers(session, machine);
    if (session.settings().format != Format::table) {
        write_info_data(session, **guest, registers);
        return kExitOk;
    }
    Report report(session);
    show_machine(report, machine);
    show_kernel(report, kernel);
    show_registers(report, registers);
    show_account(report, **guest);
    return kExitOk;
}

}  // namespace

const Command kInfoCommand{
    .name = "info",
    .summary = "Say what a guest is, how its kernel was found, and what the answer rests on",
    .description = "",
    .arguments = {&kTargetArgument, 1},
    .options = {},
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
