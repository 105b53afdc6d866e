#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/struct_data.h"
#include "commands/type_lookup.h"
#include "vitrine/guest/identify.h"
#include "vitrine/types/object_text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine struct qemu:web1 task_struct init_task", "the first task, every member"},
    {"vitrine struct qemu:web1 file 0xffff888003a40000 -m f_inode.i_ino", "one member; pointers are followed"},
    {"vitrine struct memory.img list_head modules --format json", "an array with one object"},
    {"vitrine struct qemu:web1 task_struct", "its definition, with offsets"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
    {"TYPE", "a structure, union, enumeration or typedef", ArgumentKind::text},
    {"WHERE", "ADDRESS or SYMBOL[+OFFSET]; without it the definition is shown", ArgumentKind::text, false},
};

constexpr OptionSpec kOptions[] = {
    {"--member", "-m", "PATH", "show only this member; a.b[2].c follows pointers on the way", ValueKind::text},
    {"--module", "", "NAME", "TYPE as this module defines it", ValueKind::text},
    {"--elements", "-e", "N", "show at most so many elements of each array (16)", ValueKind::number},
};

// What needs no sign to be one's own: the guest may have ended or rebooted while it was read.
int conclude(Session& session, Guest& guest) {
    const std::string doubt = guest.doubt();
    if (const auto same = guest.verify(); !same) return session.fail(same.error(), Phase::query);
    if (!doubt.empty()) session.messages().note(doubt);
    return kExitOk;
}

// Why nothing can be read: the first value's reason, if none can. Structures and arrays without anything in them do not count.
struct Readable {
    bool any = false;
    const ObjectNode* first_bad = nullptr;

    void look(const ObjectNode& node) {
        if (node.kind == NodeKind::unreadable) first_bad = first_bad == nullptr ? &node : first_bad;
        else if (node.kind != NodeKind::members && node.kind != NodeKind::elements) any = true;
        for (const ObjectNode& child : node.children) look(child);
    }
};

int show(Session& session, Guest& guest, const Object& object, const Arguments& arguments) {
    DescribeOptions options;
    if (const auto most = arguments.number("--elements")) options.elements = static_cast<std::size_t>(*most);
    std::optional<SymbolNames> names;
    if (LinuxGuest* linux_guest = guest.as_linux()) {
        if (auto loaded = SymbolNames::load(*linux_guest)) names = std::move(*loaded);
    }
    if (names) options.symbol_of = [&names](Gva address) { return names->name(address); };
    const std::string_view path = arguments.text("--member");
    const ObjectNode tree = describe(object, options);
    Readable readable;
    readable.look(tree);
    if (!readable.any && readable.first_bad != nullptr) {
        return session.fail(Error::with_text(Errc::not_present, Origin::guest,
                                             fmt::format("nothing of it can be read: {}", readable.first_bad->text)),
                            Phase::query);
    }
    if (session.settings().format == Format::table) write_c_text(session, tree_text(object, tree, path));
    else write_struct_data(session, object, tree, path);
    return conclude(session, guest);
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view where = arguments.text("WHERE");
    if (where.empty() && arguments.has("--member")) {
        return session.usage("--member needs an address: the value of which object's member?",
                             "vitrine types TARGET TYPE --member PATH tells where a member lies");
    }
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    const auto found = find_type(**guest, arguments.text("TYPE"), arguments.text("--module"));
    if (!found) return session.fail(found.error(), Phase::query);
    if (where.empty()) {
        show_type(session, *found);
        return kExitOk;
    }
    const auto address = resolve_address(**guest, where);
    if (!address) return session.fail(address.error(), Phase::query);
    const Object whole((*guest)->space(), *found->types, found->id, *address);
    if (!arguments.has("--member")) return show(session, **guest, whole, arguments);
    const auto member = whole.member(arguments.text("--member"));
    if (!member) return session.fail(member.error(), Phase::query);
    return show(session, **guest, *member, arguments);
}

}  // namespace

const Command kStructCommand{
    .name = "struct",
    .summary = "Show a structure of a guest's kernel in memory",
    .description = "Every member with its value; enumerators, and the symbols that pointers lead to, by name.",
    .arguments = kArguments,
    .options = kOptions,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
