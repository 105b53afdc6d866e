// What lives at an address of a Linux guest: its symbol, region, page, module, task, slab object.
//
//   for (const AddressFact& fact : VITRINE_TRY(identify(guest, Gva{0xffff888003a40010})))
//       fmt::print("{:<12} {}\n", fact.what, fact.detail);
//
// Each step says what it found, or why it could not look. Nothing that is said of an address where nothing was found: no row.
#pragma once

#include <string>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {

struct AddressFact {
    std::string what;  // "symbol", "region", "mapping", "module", "per-cpu", "task", "stack", "page", "slab cache", ...
    std::string detail;    // one line; holds bytes of the guest: clean it before showing it
    bool unknown = false;  // it could not be found out; detail says why
};

Result<std::vector<AddressFact>> identify(LinuxGuest& guest, Gva address);
Result<std::vector<AddressFact>> identify(LinuxGuest& guest, Gpa address);

// Names addresses in the kernel's image and in the memory of its modules, and none elsewhere. Must not outlive the guest.
class SymbolNames {
public:
    static Result<SymbolNames> load(LinuxGuest& guest);
    // "init_task+0x10", "virtio_pci_driver [virtio_pci]", any bytes; "" for an address that belongs to no symbol.
    [[nodiscard]] std::string name(Gva address) const;

    struct ModuleArea {
        std::string module;  // any bytes
        std::string part;    // "MOD_TEXT", or "core" where a module has one area only
        Gva base;
        std::uint64_t size = 0;
    };
    [[nodiscard]] const ModuleArea* module_area(Gva address) const;  // null: in no module's memory
    [[nodiscard]] bool in_kernel_image(Gva address) const { return address >= image_begin_ && address < image_end_; }
    // Why modules may be missing; "" when all are known.
    [[nodiscard]] const std::string& modules_missing() const { return modules_missing_; }
    [[nodiscard]] const SymbolTable& table() const { return *table_; }

private:
    const SymbolTable* table_ = nullptr;
    Gva image_begin_, image_end_;
    std::vector<ModuleArea> areas_;
    std::string modules_missing_;
};

}  // namespace vitrine
