#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/type_lookup.h"
#include "vitrine/guest/identify.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine identify qemu:web1 0xffff888003a40010", "what lives there: a task, a slab object, a page"},
    {"vitrine identify memory.img gpa:0x1a2b000", "the same for a guest-physical address"},
    {"vitrine identify qemu:web1 init_task+0x10", "for what lies behind a symbol"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
    {"ADDRESS", "ADDRESS, SYMBOL[+OFFSET], or gpa:ADDRESS for a guest-physical one", ArgumentKind::text},
};

constexpr std::string_view kPhysical = "gpa:";

Result<std::vector<AddressFact>> look(LinuxGuest& guest, std::string_view text) {
    if (!text.starts_with(kPhysical)) return identify(guest, VITRINE_TRY(resolve_address(guest, text)));
    const auto number = parse_number(text.substr(kPhysical.size()));
    if (!number) {
        return Error::with_text(Errc::usage, Origin::user, fmt::format("'{}' is no guest-physical address", text),
                                "gpa:0x1a2b000");
    }
    return identify(guest, Gpa{*number});
}

int run(Session& session, const Arguments& arguments) {
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    LinuxGuest* linux_guest = (*guest)->as_linux();
    if (linux_guest == nullptr) {
        return session.fail(
            Error::with_text(Errc::unsupported, Origin::guest, "addresses of this kind of guest cannot be identified"),
            Phase::query);
    }
    const auto facts = look(*linux_guest, arguments.text("ADDRESS"));
    if (!facts) return session.fail(facts.error(), Phase::query);
    const std::string doubt = (*guest)->doubt();
    if (const auto same = (*guest)->verify(); !same) return session.fail(same.error(), Phase::query);
    const std::vector<OutputColumn> columns{{"what", ColumnType::text}, {"detail", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const AddressFact& fact : *facts) {
        const std::vector<Value> values{fact.what, fact.unknown ? "unknown: " + fact.detail : fact.detail};
        writer->row(values);
    }
    writer->finish();
    if (!doubt.empty()) session.messages().note(doubt);
    return kExitOk;
}

}  // namespace

const Command kIdentifyCommand{
    .name = "identify",
    .summary = "Tell what lives at an address of a guest's kernel",
    .description = "Its symbol, area, mapping, module, per-CPU variable, task or stack, page, slab cache and object.",
    .arguments = kArguments,
    .options = {},
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
