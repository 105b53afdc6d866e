#include <fmt/format.h>

#include <algorithm>

#include "commands/commands.h"
#include "query/query.h"
#include "render/json.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine info qemu:web1", "what runs there, how it was found, what the answer rests on"},
    {"vitrine info memory.img --no-cache", "learning everything anew, with the time of each step"},
    {"vitrine info qemu:web1 --format json", "one JSON object"},
};

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

std::string paging_text(const KernelInfo& kernel) {
    return fmt::format("{}, {}", to_string(kernel.paging),
                       kernel.page_table_isolation ? "page-table isolation on" : "no page-table isolation");
}

// For a person: sections of "name  value" lines.
class Report {
public:
    explicit Report(Session& session) : out_(session.out()), color_(session.style().color) {}

    void section(std::string_view title) {
        if (!first_) out_.write("\n");
        first_ = false;
        out_.write(color_ ? fmt::format("\x1b[1m{}\x1b[0m\n", title) : fmt::format("{}\n", title));
    }
    // Left out when the value is empty: unknown.
    void line(std::string_view name, std::string_view value) {
        if (!value.empty()) out_.write(fmt::format("  {:<13} {}\n", name, to_terminal_text(value)));
    }
    void item(std::string_view text) { out_.write(fmt::format("  {}\n", to_terminal_text(text))); }

private:
    Output& out_;
    bool color_;
    bool first_ = true;
};

std::string machine_text(const MachineInfo& info) {
    std::string text = info.kind;
    if (!info.version.empty()) text += " " + info.version;
    if (!info.accelerator.empty()) text += ", " + info.accelerator;
    if (!info.machine_type.empty()) text += ", " + info.machine_type;
    return text;
}

struct Registers {
    std::string route;  // "" when there is none
    std::vector<VcpuState> vcpus;
    std::string why_not;
};

Registers read_registers(const Session& session, Machine& machine) {
    Registers registers;
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

void show_registers(Report& report, const Registers& registers) {
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
    std::chrono::microseconds total{};
    for (const AttachStep& step : kernel.steps) {
        report.item(fmt::format("{:>10}  {}{}{}", duration_text(step.took), step.name, step.outcome.empty() ? "" : ": ",
                                step.outcome));
        total += step.took;
    }
    report.item(fmt::format("{:>10}  in all", duration_text(total)));
}

void text_or_null(JsonWriter& json, std::string_view key, std::string_view text) {
    json.key(key);
    if (text.empty()) json.null();
    else json.text(text);
}

void text_list(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
    json.key(key);
    json.begin_array();
    for (const std::string& text : texts) json.text(text);
    json.end_array();
}

void json_machine(JsonWriter& json, Machine& machine) {
    const MachineInfo& info = machine.info();
    json.key("machine");
    json.begin_object();
    text_or_null(json, "kind", info.kind);
    text_or_null(json, "name", info.name);
    json.key("pid");
    if (info.pid) json.integer(*info.pid);
    else json.null();
    text_or_null(json, "version", info.version);
    text_or_null(json, "accelerator", info.accelerator);
    text_or_null(json, "machine_type", info.machine_type);
    text_or_null(json, "backend", info.backend);
    text_or_null(json, "qmp_socket", info.qmp_socket);
    text_or_null(json, "access", to_string(machine.memory().method()));
    json.key("memory_bytes");
    json.integer(static_cast<std::int64_t>(machine.memory().total_size()));
    text_or_null(json, "layout", machine.memory().layout().name);
    json.key("extents");
    json.begin_array();
    for (const LayoutExtent& extent : machine.memory().layout().extents) {
        json.begin_object();
        json.key("start");
        json.address(extent.start.value);
        json.key("size");
        json.integer(static_cast<std::int64_t>(extent.size));
        json.end_object();
    }
    json.end_array();
    text_list(json, "notes", info.notes);
    json.end_object();
}

void json_kernel(JsonWriter& json, const Guest& guest) {
    const KernelInfo& kernel = guest.kernel();
    json.key("kernel");
    json.begin_object();
    text_or_null(json, "os", kernel.os);
    text_or_null(json, "release", kernel.release);
    text_or_null(json, "banner", kernel.banner);
    text_or_null(json, "build_id", kernel.build_id);
    const std::pair<std::string_view, std::uint64_t> addresses[] = {{"text_va", kernel.text_va.value},
                                                                    {"text_pa", kernel.text_pa.value},
                                                                    {"kaslr_slide", kernel.kaslr_slide},
                                                                    {"root", kernel.root.value}};
    for (const auto& [key, value] : addresses) {
        json.key(key);
        json.address(value);
    }
    text_or_null(json, "paging", to_string(kernel.paging));
    json.key("page_table_isolation");
    json.boolean(kernel.page_table_isolation);
    text_or_null(json, "found_by", to_string(kernel.route));
    json.key("from_cache");
    json.boolean(kernel.from_cache);
    text_or_null(json, "symbols_from", kernel.symbols_from);
    text_or_null(json, "types_from", kernel.types_from);
    text_list(json, "checks", kernel.checks);
    text_or_null(json, "doubt", guest.doubt());
    text_list(json, "rejected", kernel.rejected);
    json.end_object();
}

void json_steps(JsonWriter& json, const KernelInfo& kernel) {
    json.key("steps");
    json.begin_array();
    for (const AttachStep& step : kernel.steps) {
        json.begin_object();
        text_or_null(json, "name", step.name);
        json.key("microseconds");
        json.integer(step.took.count());
        text_or_null(json, "outcome", step.outcome);
        json.end_object();
    }
    json.end_array();
}

void json_registers(JsonWriter& json, const Registers& registers) {
    json.key("registers");
    json.begin_object();
    text_or_null(json, "route", registers.route);
    text_or_null(json, "why_not", registers.why_not);
    json.key("vcpus");
    json.begin_array();
    for (const VcpuState& vcpu : registers.vcpus) {
        json.begin_object();
        json.key("index");
        json.integer(vcpu.index);
        const std::pair<std::string_view, std::uint64_t> values[] = {
            {"rip", vcpu.rip}, {"cr0", vcpu.cr0}, {"cr3", vcpu.cr3}, {"cr4", vcpu.cr4}, {"efer", vcpu.efer}};
        for (const auto& [key, value] : values) {
            json.key(key);
            json.address(value);
        }
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

int run(Session& session, const Arguments& arguments) {
    const Format format = session.settings().format;
    if (format == Format::csv) return session.usage("info is not a list: it has no csv form", "use --format json");
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    Machine& machine = (*guest)->machine();
    const KernelInfo& kernel = (*guest)->kernel();
    const Registers registers = read_registers(session, machine);
    if (format == Format::table) {
        Report report(session);
        show_machine(report, machine);
        show_kernel(report, kernel);
        show_registers(report, registers);
        show_account(report, **guest);
        return kExitOk;
    }
    JsonWriter json(session.out(), format == Format::json ? 2 : 0);
    json.begin_object();
    json_machine(json, machine);
    json_kernel(json, **guest);
    json_registers(json, registers);
    json_steps(json, kernel);
    json.end_object();
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
