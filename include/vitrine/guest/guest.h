// A guest operating system, found and understood: attach() finds the kernel in a machine's memory, proves it, and learns
// its layout from the guest's own memory.
//
//   auto guest = VITRINE_TRY(Guest::attach(std::move(machine), {}));
//   fmt::print("{}\n", guest->kernel().release);
//
// Not thread-safe: one thread at a time. A Guest owns its machine; nothing it returns by reference outlives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/function_ref.h"
#include "vitrine/base/result.h"
#include "vitrine/base/walk.h"
#include "vitrine/machine/machine.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/symbols/symbol_table.h"
#include "vitrine/types/catalog.h"
#include "vitrine/types/object.h"

namespace vitrine {

class LinuxGuest;

// How the kernel was found.
enum class FindRoute : std::uint8_t {
    registers,    // from a vCPU's page tables
    page_tables,  // page tables found by vote among all pages
    vmcoreinfo,   // the VMCOREINFO text in memory
    scan,         // the symbol table's anchor, found by reading all RAM
};
[[nodiscard]] std::string_view to_string(FindRoute);

struct AttachStep {
    std::string name;  // "read registers", "find page tables", "decode kallsyms", ...
    std::chrono::microseconds took{};
    std::string outcome;  // one line
};

struct KernelInfo {
    std::string os = "linux";
    std::string release;   // 6.1.0-56-cloud-amd64
    std::string banner;    // the whole "Linux version ..." line
    std::string build_id;  // hex; "" if the guest does not tell
    Gva text_va;           // _text
    Gpa text_pa;
    std::uint64_t kaslr_slide = 0;
    PagingMode paging = PagingMode::x86_64_4level;
    bool page_table_isolation = false;
    Gpa root;  // of the kernel's own page tables (init_top_pgt)
    FindRoute route = FindRoute::registers;
    bool from_cache = false;    // the layout came out of the cache and was verified against this guest
    std::string symbols_from;   // "kallsyms: 87347 symbols, ..."
    std::string types_from;     // "BTF of the kernel: ...", "recovered from invariants", "DWARF of FILE"
    std::string memory_layout;  // name of the machine's layout that was proven
    std::vector<AttachStep> steps;
    std::vector<std::string> checks;    // each acceptance check that passed, one line
    std::vector<std::string> rejected;  // kernels that looked like one and were refused, and why
};

struct AttachOptions {
    bool use_registers = true;
    bool use_cache = true;
    std::string cache_directory;          // "": $XDG_CACHE_HOME/vitrine or ~/.cache/vitrine
    std::optional<std::string> vmlinux;   // --symbols FILE: types from its DWARF (or BTF section)
    std::optional<FindRoute> only_route;  // for tests and benchmarks: use this way or fail
    bool ignore_btf = false;              // for tests: behave as if the kernel had no BTF
    // CPU time for what looks like a kernel and is none, over all routes. A hostile guest can forge any number of those.
    std::chrono::milliseconds patience{60'000};
    std::optional<FunctionRef<void(const char* step, double fraction)>> progress;  // fraction < 0: unknown
};

class Guest {
public:
    // Tries all routes over all candidate memory layouts; accepts a kernel only if every acceptance check passes. On failure
    // the Error says what was tried (not_found, unsupported, inconsistent).
    static Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, const AttachOptions& options);

    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    virtual ~Guest() = default;

    [[nodiscard]] Machine& machine() const { return *machine_; }
    [[nodiscard]] const KernelInfo& kernel() const { return kernel_; }
    [[nodiscard]] const AddressSpace& space() const { return *space_; }  // the kernel's
    [[nodiscard]] virtual LinuxGuest* as_linux() { return nullptr; }

    // The guest may have run on: forget cached pages and translations.
    void new_generation() const { space_->new_generation(); }

    // Is it still the guest that was attached to? stale when the machine ended, rebooted, or runs another kernel by now; what was read
    // since the last time this was true is then not to be believed. Costs a few reads, and the registers once in 100 ms where it has any.
    virtual Result<void> verify() const = 0;

    // Why what is read might be of a kernel that runs no more, one line; "" when it is known to run. After a reset the
    // old kernel lies in memory until the next one overwrites it: only vCPU registers tell, or a clock that moved since
    // this was last asked.
    [[nodiscard]] virtual std::string doubt() const { return {}; }

    // Everything, decoded on first use and kept.
    virtual Result<const SymbolTable*> symbols() = 0;  // kernel and modules
    virtual Result<const TypeCatalog*> types() = 0;    // the kernel's

    // Typed access. Objects must not outlive the guest.
    Result<Object> object(std::string_view type, Gva address);
    Result<Object> variable(std::string_view symbol, std::string_view type);  // of the kernel itself

protected:
    Guest(std::unique_ptr<Machine> machine, KernelInfo kernel)
        : machine_(std::move(machine)), kernel_(std::move(kernel)) {}
    std::unique_ptr<Machine> machine_;
    std::unique_ptr<PhysicalMemory> cached_memory_;  // middleware over machine_->memory(), or null
    std::unique_ptr<AddressSpace> space_;
    KernelInfo kernel_;
};

}  // namespace vitrine
