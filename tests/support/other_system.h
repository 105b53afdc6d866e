// A tiny guest that is not Linux and not 64-bit: processes on a list of 32-bit pointers, names in UTF-16, types from a source of its own.
// What it takes to add an operating system is here: a Guest, and a generator for each table that means the same on it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/guest/guest.h"
#include "vitrine/query/table.h"

namespace vitrine::testing {

inline constexpr std::string_view kOtherSystem = "other";

struct OtherProcess {
    std::uint32_t id;
    std::uint32_t parent;
    std::u16string name;
};

class OtherGuest final : public Guest {
public:
    static constexpr std::uint32_t kBase = 0x8000'0000;
    static constexpr std::uint32_t kHead = kBase + 0x10'000;
    static constexpr std::uint32_t kFirst = kBase + 0x11'000;
    static constexpr std::uint32_t kSpacing = 0x200;

    static std::unique_ptr<OtherGuest> make(PagingMode mode, const std::vector<OtherProcess>& processes);

    Result<void> verify() const override { return {}; }
    Result<const SymbolTable*> symbols() override;
    Result<const TypeCatalog*> types() override { return types_.get(); }

private:
    OtherGuest(std::unique_ptr<Machine> machine, KernelInfo kernel);
    std::shared_ptr<const TypeCatalog> types_;
};

// The generator of `processes`: the specification is the one all systems share.
Result<WalkReport> other_processes(Guest& guest, QueryContext& context, RowSink& sink);
extern const std::span<const NeedGroup* const> kOtherNeedGroups;

}  // namespace vitrine::testing
