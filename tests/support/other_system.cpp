#include "support/other_system.h"

#include <algorithm>
#include <array>
#include <utility>

#include "support/page_table_builder.h"
#include "support/synthetic_guest_ram.h"
#include "support/synthetic_memory.h"
#include "support/vector_store.h"
#include "vitrine/base/text.h"
#include "vitrine/types/catalog_builder.h"
#include "vitrine/types/member_need.h"

namespace vitrine::testing {
namespace {

// As a PDB's reader would build it: 4-byte pointers.
std::shared_ptr<const TypeCatalog> other_types() {
    CatalogBuilder builder;
    const auto integer = [&](std::string_view name, std::uint64_t size) {
        Type type;
        type.kind = TypeKind::integer;
        type.name = builder.add_string(name);
        type.size = size;
        return builder.add(type);
    };
    struct Part {
        std::string_view name;
        TypeId type;
        std::uint64_t offset;
    };
    const auto structure = [&](std::string_view name, std::uint64_t size, std::vector<Part> parts) {
        Type type;
        type.kind = TypeKind::structure;
        type.name = builder.add_string(name);
        type.size = size;
        type.count = static_cast<std::uint32_t>(parts.size());
        auto members = builder.append_members(parts.size(), type.first);
        for (std::size_t i = 0; i < parts.size(); ++i)
            members[i] = {builder.add_string(parts[i].name), parts[i].type, parts[i].offset * 8, 0};
        return builder.add(type);
    };
    const TypeId u16 = integer("USHORT", 2);
    const TypeId u32 = integer("ULONG", 4);
    Type to_char;
    to_char.kind = TypeKind::pointer;
    to_char.target = u16;
    const TypeId text = builder.add(to_char);
    const TypeId links = structure("_LIST_ENTRY", 8, {{"Flink", text, 0}, {"Blink", text, 4}});
    const TypeId name = structure("_UNICODE_STRING", 8,
                                  {{"Length", u16, 0}, {"MaximumLength", u16, 2}, {"Buffer", text, 4}});
    structure("_EPROCESS", 0x40,
              {{"UniqueProcessId", u32, 0x8},
               {"ActiveProcessLinks", links, 0x10},
               {"ImageFileName", name, 0x20},
               {"InheritedFromUniqueProcessId", u32, 0x30}});
    auto built = builder.build("described by a test", 4);
    return built ? *built : nullptr;
}

enum : std::size_t { kOtherId, kOtherLinks, kOtherName, kOtherLength, kOtherBuffer, kOtherParent };
constexpr auto kOtherMembers = std::to_array<MemberNeed>({
    {"_EPROCESS", {"UniqueProcessId"}, MemberShape::u32},
    {"_EPROCESS", {"ActiveProcessLinks"}, MemberShape::list},
    {"_EPROCESS", {"ImageFileName"}, MemberShape::record},
    {"_UNICODE_STRING", {"Length"}, MemberShape::number},
    {"_UNICODE_STRING", {"Buffer"}, MemberShape::pointer},
    {"_EPROCESS", {"InheritedFromUniqueProcessId"}, MemberShape::number},
});
constexpr NeedGroup kOtherNeeds{"processes", kOtherMembers};
constexpr std::array<const NeedGroup*, 1> kNeedGroups = {&kOtherNeeds};

Result<std::string> other_name(const AddressSpace& space, const Members& members, Gva process) {
    const Gva name = process.wrap_plus(members.at(kOtherName));
    const auto length = VITRINE_TRY(space.read_value<std::uint16_t>(name.wrap_plus(members.at(kOtherLength))));
    const Gva buffer = VITRINE_TRY(space.read_pointer(name.wrap_plus(members.at(kOtherBuffer))));
    std::string bytes(length, '\0');
    VITRINE_CHECK(space.read(buffer, std::as_writable_bytes(std::span(bytes))));
    return utf16_to_utf8(bytes);
}

}  // namespace

std::unique_ptr<OtherGuest> OtherGuest::make(PagingMode mode, const std::vector<OtherProcess>& processes) {
    constexpr std::uint64_t kRam = 1u << 20;
    SyntheticMemory memory(kRam);
    PageTableBuilder tables(memory, mode, Gpa{0x1000});
    tables.map_range(Gva{kBase}, Gpa{0}, kRam);
    const auto physical = [](std::uint32_t va) { return Gpa{va - kBase}; };
    const auto link = [](std::size_t i) { return kFirst + static_cast<std::uint32_t>(i) * kSpacing + 0x10; };
    const std::size_t count = processes.size();
    const auto link_or_head = [&](std::size_t i) { return i < count ? link(i) : kHead; };
    memory.write_value(physical(kHead), link_or_head(0));
    memory.write_value(physical(kHead + 4), count == 0 ? kHead : link(count - 1));
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t at = link(i) - 0x10;
        memory.write_value(physical(at + 0x8), processes[i].id);
        memory.write_value(physical(at + 0x10), link_or_head(i + 1));
        memory.write_value(physical(at + 0x14), i == 0 ? kHead : link(i - 1));
        const auto bytes = static_cast<std::uint16_t>(processes[i].name.size() * 2);
        memory.write_value(physical(at + 0x20), bytes);
        memory.write_value(physical(at + 0x24), at + 0x80);
        for (std::size_t c = 0; c < processes[i].name.size(); ++c)
            memory.write_value(physical(at + 0x80 + static_cast<std::uint32_t>(c) * 2),
                               static_cast<std::uint16_t>(processes[i].name[c]));
        memory.write_value(physical(at + 0x30), processes[i].parent);
    }
    std::vector<std::byte> ram(kRam);
    for (std::uint64_t at = 0; at < kRam; at += kPageSize)
        static_cast<void>(memory.read(Gpa{at}, std::span(ram).subspan(at, kPageSize)));
    MemoryLayout layout{"all", {{Gpa{0}, kRam, 0}}, true};
    auto machine = std::make_unique<test::SyntheticMachine>(std::make_shared<VectorStore>(std::move(ram)),
                                                            std::vector{layout});
    KernelInfo kernel;
    kernel.os = std::string(kOtherSystem);
    kernel.paging = mode;
    kernel.root = tables.root();
    return std::unique_ptr<OtherGuest>(new OtherGuest(std::move(machine), std::move(kernel)));
}

Result<const SymbolTable*> OtherGuest::symbols() {
    return Error::with_text(Errc::not_found, Origin::symbols, "this system keeps no symbols in memory");
}

OtherGuest::OtherGuest(std::unique_ptr<Machine> machine, KernelInfo kernel)
    : Guest(std::move(machine), std::move(kernel)), types_(other_types()) {
    space_ = std::make_unique<AddressSpace>(machine_->memory(), kernel_.paging, kernel_.root);
}

Result<WalkReport> other_processes(Guest& guest, QueryContext& context, RowSink& sink) {
    const TypeCatalog& types = *VITRINE_TRY(guest.types());
    const Members members = VITRINE_TRY(resolve_members(types, kOtherNeeds));
    const std::span<const Column> columns = find_table("processes")->spec.columns;
    const auto column = [&](std::string_view name) {
        return static_cast<std::size_t>(
            std::find_if(columns.begin(), columns.end(), [&](const Column& of) { return of.name == name; }) -
            columns.begin());
    };
    const AddressSpace& space = guest.space();
    WalkReport report;
    Gva link = VITRINE_TRY(space.read_pointer(Gva{OtherGuest::kHead}));
    while (link.value != OtherGuest::kHead) {
        if (++report.nodes > context.budget.nodes) {
            report.end = WalkEnd::budget;
            break;
        }
        const Gva process = link.wrap_minus(members.at(kOtherLinks));
        std::vector<Value> row(columns.size());
        row[column("pid")] = std::int64_t{
            VITRINE_TRY(space.read_value<std::uint32_t>(process.wrap_plus(members.at(kOtherId))))};
        row[column("parent")] = std::int64_t{
            VITRINE_TRY(space.read_value<std::uint32_t>(process.wrap_plus(members.at(kOtherParent))))};
        row[column("name")] = VITRINE_TRY(other_name(space, members, process));
        if (!sink.row(row)) break;
        link = VITRINE_TRY(space.read_pointer(link));
    }
    return report;
}

const std::span<const NeedGroup* const> kOtherNeedGroups{kNeedGroups};

}  // namespace vitrine::testing
