// Types and addresses by name in a guest's kernel and its modules, and the definition of a type: what `types`, `struct`
// and `identify` share.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "app/session.h"
#include "vitrine/guest/guest.h"
#include "vitrine/types/catalog.h"

namespace vitrine::cli {

struct FoundType {
    std::shared_ptr<const TypeCatalog> kept;  // what a module's type lies in; null for the kernel's
    const TypeCatalog* types = nullptr;
    TypeId id = 0;
    std::string module;  // that defines it; "": the kernel
};

// module "": the kernel's; where it has none, that of the one module that has.
Result<FoundType> find_type(Guest& guest, std::string_view name, std::string_view module);

// The definition with offsets as text, or as one row of the other formats.
void show_type(Session& session, const FoundType& found);

// A text of several lines: line ends and indentation are ours, everything else may be the guest's.
void write_c_text(Session& session, std::string_view text);

// "0xffff888003a40000", "init_task", "init_task+0x10": of the kernel, or of the one module that has such a symbol.
Result<Gva> resolve_address(Guest& guest, std::string_view text);

}  // namespace vitrine::cli
