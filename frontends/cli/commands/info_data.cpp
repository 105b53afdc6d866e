#include "commands/info_data.h"

#include "render/json.h"
#include "render/structure.h"

namespace vitrine::cli {
namespace {

void text_or_null(StructureWriter& out, std::string_view key, std::string_view text) {
    out.key(key);
    out.text_or_null(text);
}

void text_list(StructureWriter& out, std::string_view key, const std::vector<std::string>& texts) {
    out.key(key);
    out.begin_array();
    for (const std::string& text : texts) out.text(text);
    out.end_array();
}

void write_machine(StructureWriter& out, Machine& machine) {
    const MachineInfo& info = machine.info();
    out.key("machine");
    out.begin_object();
    text_or_null(out, "kind", info.kind);
    text_or_null(out, "name", info.name);
    out.key("pid");
    if (info.pid) out.integer(*info.pid);
    else out.null();
    text_or_null(out, "version", info.version);
    text_or_null(out, "accelerator", info.accelerator);
    text_or_null(out, "machine_type", info.machine_type);
    text_or_null(out, "backend", info.backend);
    text_or_null(out, "qmp_socket", info.qmp_socket);
    text_or_null(out, "access", to_string(machine.memory().method()));
    out.key("memory_bytes");
    out.integer(static_cast<std::int64_t>(machine.memory().total_size()));
    text_or_null(out, "layout", machine.memory().layout().name);
    out.key("extents");
    out.begin_array();
    for (const LayoutExtent& extent : machine.memory().layout().extents) {
        out.begin_object();
        out.key("start");
        out.address(extent.start.value);
        out.key("size");
        out.integer(static_cast<std::int64_t>(extent.size));
        out.end_object();
    }
    out.end_array();
    std::vector<std::string> notes = info.notes;
    if (!info.unproven_order.empty()) notes.push_back(info.unproven_order);
    text_list(out, "notes", notes);
    out.end_object();
}

void write_kernel(StructureWriter& out, const Guest& guest) {
    const KernelInfo& kernel = guest.kernel();
    out.key("kernel");
    out.begin_object();
    text_or_null(out, "os", kernel.os);
    text_or_null(out, "release", kernel.release);
    text_or_null(out, "banner", kernel.banner);
    text_or_null(out, "build_id", kernel.build_id);
    const std::pair<std::string_view, std::uint64_t> addresses[] = {{"text_va", kernel.text_va.value},
                                                                    {"text_pa", kernel.text_pa.value},
                                                                    {"kaslr_slide", kernel.kaslr_slide},
                                                                    {"root", kernel.root.value}};
    for (const auto& [key, value] : addresses) {
        out.key(key);
        out.address(value);
    }
    text_or_null(out, "paging", to_string(kernel.paging));
    out.key("page_table_isolation");
    out.boolean(kernel.page_table_isolation);
    text_or_null(out, "found_by", to_string(kernel.route));
    out.key("from_cache");
    out.boolean(kernel.from_cache);
    text_or_null(out, "symbols_from", kernel.symbols_from);
    text_or_null(out, "types_from", kernel.types_from);
    text_list(out, "checks", kernel.checks);
    text_or_null(out, "doubt", guest.doubt());
    text_list(out, "rejected", kernel.rejected);
    out.end_object();
}

void write_steps(StructureWriter& out, const KernelInfo& kernel) {
    out.key("steps");
    out.begin_array();
    for (const AttachStep& step : kernel.steps) {
        out.begin_object();
        text_or_null(out, "name", step.name);
        out.key("microseconds");
        out.integer(step.took.count());
        text_or_null(out, "outcome", step.outcome);
        out.end_object();
    }
    out.end_array();
}

void write_registers(StructureWriter& out, const RegisterAccount& registers) {
    out.key("registers");
    out.begin_object();
    text_or_null(out, "route", registers.route);
    text_or_null(out, "why_not", registers.why_not);
    out.key("vcpus");
    out.begin_array();
    for (const VcpuState& vcpu : registers.vcpus) {
        out.begin_object();
        out.key("index");
        out.integer(vcpu.index);
        const std::pair<std::string_view, std::uint64_t> values[] = {
            {"rip", vcpu.rip}, {"cr0", vcpu.cr0}, {"cr3", vcpu.cr3}, {"cr4", vcpu.cr4}, {"efer", vcpu.efer}};
        for (const auto& [key, value] : values) {
            out.key(key);
            out.address(value);
        }
        out.end_object();
    }
    out.end_array();
    out.end_object();
}

void write_all(StructureWriter& out, Guest& guest, const RegisterAccount& registers) {
    out.begin_object();
    write_machine(out, guest.machine());
    write_kernel(out, guest);
    write_registers(out, registers);
    write_steps(out, guest.kernel());
    out.end_object();
}

}  // namespace

void write_info_data(Session& session, Guest& guest, const RegisterAccount& registers) {
    const Format format = session.settings().format;
    if (format == Format::csv || format == Format::markdown) {
        FlatWriter rows(session.out(), session.style());
        write_all(rows, guest, registers);
        rows.finish();
        return;
    }
    JsonWriter json(session.out(), format == Format::json ? 2 : 0);
    if (format == Format::json) json.begin_array();
    write_all(json, guest, registers);
    if (format == Format::json) json.end_array();
}

}  // namespace vitrine::cli
