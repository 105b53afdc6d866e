#include "vitrine/guest/object_list.h"

#include <fmt/format.h>

#include "os/linux/list_walk.h"

namespace vitrine {
namespace {

Error no_list(const Object& head) {
    return Error::with_text(Errc::usage, Origin::guest,
                            fmt::format("'{}' is no struct list_head in the guest's memory", head.type_name()));
}

// Where the list begins: a structure of two pointers, next and prev, in this order.
Result<Gva> place_of(const Object& head) {
    const auto where = head.address();
    if (!where || head.catalog() == nullptr || head.kind() != TypeKind::structure) return no_list(head);
    const TypeId list = head.catalog()->strip(head.type());
    const auto next = head.catalog()->field(list, "next");
    const auto previous = head.catalog()->field(list, "prev");
    if (!next || !previous || next->offset() != 0 || previous->offset() != sizeof(std::uint64_t)) return no_list(head);
    return *where;
}

}  // namespace

Result<WalkReport> for_each_in_list(Guest& guest, const Object& head, std::string_view type, std::string_view link,
                                    WalkBudget budget, FunctionRef<bool(const Object& element)> visit) {
    const Gva first = VITRINE_TRY(place_of(head));
    const TypeCatalog& catalog = *head.catalog();
    const TypeId element = VITRINE_TRY(catalog.find(type));
    const Field field = VITRINE_TRY(catalog.field(element, link));
    if (field.bit_size != 0) {
        return Error::with_text(Errc::usage, Origin::guest, fmt::format("'{}' of '{}' is a bit-field", link, type));
    }
    return linux_os::walk_list(guest.space(), first, budget, [&](Gva node) {
        return visit(Object(guest.space(), catalog, element, node.wrap_minus(field.offset())));
    });
}

}  // namespace vitrine
