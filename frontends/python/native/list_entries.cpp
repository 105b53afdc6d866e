#include "list_entries.h"

#include <optional>
#include <string>

namespace vitrine::python {
namespace {

// include/linux/types.h: list_head {next, prev}; hlist_head {first}, hlist_node {next, pprev}.
struct Links {
    TypeId node = 0;
    bool is_circular = true;
    std::uint64_t first = 0;  // offset in the head
    std::uint64_t next = 0;   // in a node
    std::uint64_t back = 0;   // in a node
};

Result<Links> links_of(const Object& head) {
    const TypeCatalog* types = head.catalog();
    const auto neither = [&] {
        return Error::with_text(Errc::usage, Origin::user,
                                head.type_name() + " is neither a list_head nor an hlist_head");
    };
    if (types == nullptr || head.indirections() != 0) return neither();
    const auto next = types->field(head.type(), "next");
    const auto prev = types->field(head.type(), "prev");
    if (next && prev) return Links{head.type(), true, next->offset(), next->offset(), prev->offset()};
    const auto first = types->field(head.type(), "first");
    const Type* pointer = first ? types->type(types->strip(first->type)) : nullptr;
    if (pointer == nullptr || pointer->kind != TypeKind::pointer) return neither();
    const auto node_next = types->field(pointer->target, "next");
    const auto node_back = types->field(pointer->target, "pprev");
    if (!node_next || !node_back) return neither();
    return Links{pointer->target, false, first->offset(), node_next->offset(), node_back->offset()};
}

class ListWalk {
public:
    ListWalk(const AddressSpace& space, const Links& links, Gva head, WalkBudget budget)
        : space_(space), links_(links), head_(head), budget_(budget) {}
    Result<std::vector<Gva>> nodes();

private:
    Result<Gva> pointer_at(Gva base, std::uint64_t offset) const {
        const auto address = base.plus(offset);
        if (!address) return failed(Errc::out_of_range, base, "a node lies at the end of the address space");
        return space_.read_pointer(*address);
    }
    static Error failed(Errc code, Gva at, const char* what) {
        return Error::make_at(code, Origin::types, at.value, what);
    }
    // What the way back of the node after `node` must be: the node, or the place of the pointer that leads forth from it.
    [[nodiscard]] Gva back_of_next(Gva node) const {
        if (links_.is_circular) return node;
        return Gva{node.value + (node == head_ ? links_.first : links_.next)};
    }
    [[nodiscard]] bool is_end(Gva at) const { return links_.is_circular ? at == head_ : at.value == 0; }

    const AddressSpace& space_;
    Links links_;
    Gva head_;
    WalkBudget budget_;
};

Result<std::vector<Gva>> ListWalk::nodes() {
    std::vector<Gva> found;
    Deadline deadline(budget_.time);
    Gva previous = head_;
    Gva tortoise = head_;
    std::size_t moved_at = 1;
    Gva at = VITRINE_TRY(pointer_at(head_, links_.first));
    while (!is_end(at)) {
        if (found.size() >= budget_.nodes || deadline.passed())
            return failed(Errc::limit, at, "the list has more nodes than may be looked at");
        if (at == tortoise) return failed(Errc::cycle, at, "the list comes back to a node that is not its head");
        if (found.size() + 1 == moved_at) {
            moved_at *= 2;
            tortoise = at;
        }
        if (VITRINE_TRY(pointer_at(at, links_.back)) != back_of_next(previous))
            return failed(Errc::inconsistent, at, "a node of the list does not lead back to the one before it");
        found.push_back(at);
        previous = at;
        at = VITRINE_TRY(pointer_at(at, links_.next));
    }
    if (links_.is_circular && VITRINE_TRY(pointer_at(head_, links_.back)) != previous)
        return failed(Errc::inconsistent, head_, "the head of the list does not lead back to its last node");
    return found;
}

}  // namespace

Result<std::vector<Object>> list_entries(const AddressSpace& space, const Object& head, std::string_view type,
                                         std::string_view member, WalkBudget budget) {
    const Object list = head.kind() == TypeKind::pointer ? VITRINE_TRY(head.deref()) : head;
    const Links links = VITRINE_TRY(links_of(list));
    const auto address = list.address();
    if (!address) return Error::with_text(Errc::usage, Origin::user, "the head of the list lies nowhere");
    std::vector<Object> entries;
    for (const Gva node : VITRINE_TRY(ListWalk(space, links, *address, budget).nodes())) {
        entries.push_back(VITRINE_TRY(Object(space, *list.catalog(), links.node, node).container_of(type, member)));
    }
    return entries;
}

}  // namespace vitrine::python
