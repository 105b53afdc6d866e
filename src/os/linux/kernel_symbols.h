// The few symbols of a kernel that Vitrine needs before anything is decoded whole.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "vitrine/base/address.h"

namespace vitrine::linux_os {

enum class SymbolId : std::uint8_t {
    text,
    etext,
    end,
    linux_banner,
    phys_base,
    init_top_pgt,
    init_task,
    start_btf,
    stop_btf,
    start_notes,
    stop_notes,
    modules,
    btf_modules,
    max_pfn,
    e820_table,
    page_offset_base,
    vmalloc_base,
    vmemmap_base,
    per_cpu_offset,
    nr_cpu_ids,
    init_cred,
    init_files,
    init_fs,
    init_nsproxy,
    init_signals,
    init_sighand,
    init_struct_pid,
    init_mm,
    edata,
    tk_core,
    timekeeper_data,
    init_pid_ns,
    sys_call_table,
    entry_syscall_64,
    idt_table,
    jiffies_64,
    node_data,
    count
};
inline constexpr std::size_t kSymbolCount = static_cast<std::size_t>(SymbolId::count);

inline constexpr std::array<std::string_view, kSymbolCount> kSymbolNames = {"_text",
                                                                            "_etext",
                                                                            "_end",
                                                                            "linux_banner",
                                                                            "phys_base",
                                                                            "init_top_pgt",
                                                                            "init_task",
                                                                            "__start_BTF",
                                                                            "__stop_BTF",
                                                                            "__start_notes",
                                                                            "__stop_notes",
                                                                            "modules",
                                                                            "btf_modules",
                                                                            "max_pfn",
                                                                            "e820_table",
                                                                            "page_offset_base",
                                                                            "vmalloc_base",
                                                                            "vmemmap_base",
                                                                            "__per_cpu_offset",
                                                                            "nr_cpu_ids",
                                                                            "init_cred",
                                                                            "init_files",
                                                                            "init_fs",
                                                                            "init_nsproxy",
                                                                            "init_signals",
                                                                            "init_sighand",
                                                                            "init_struct_pid",
                                                                            "init_mm",
                                                                            "_edata",
                                                                            "tk_core",
                                                                            "timekeeper_data",
                                                                            "init_pid_ns",
                                                                            "sys_call_table",
                                                                            "entry_SYSCALL_64",
                                                                            "idt_table",
                                                                            "jiffies_64",
                                                                            "node_data"};

class KernelSymbols {
public:
    [[nodiscard]] std::optional<Gva> get(SymbolId id) const { return values_[static_cast<std::size_t>(id)]; }
    void set(SymbolId id, std::optional<Gva> value) { values_[static_cast<std::size_t>(id)] = value; }

private:
    std::array<std::optional<Gva>, kSymbolCount> values_{};
};

}  // namespace vitrine::linux_os
