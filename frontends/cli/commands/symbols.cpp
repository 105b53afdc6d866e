#include <fmt/format.h>

#include "commands/commands.h"
#include "query/query.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine symbols qemu:web1 --name 'sys_call*'", "symbols whose name matches"},
    {"vitrine symbols qemu:web1 --address 0xffffffff81001234", "what lies at an address"},
    {"vitrine symbols memory.img --module ext4 --format csv", "the symbols of one module"},
};

constexpr OptionSpec kOptions[] = {
    {"--name", "", "GLOB", "only symbols whose name matches the shell pattern", ValueKind::text},
    {"--module", "", "GLOB", "only symbols of modules that match", ValueKind::text},
    {"--address", "-a", "ADDRESS", "the symbol at or below this address, and the distance", ValueKind::address},
};

int show_nearest(Session& session, Guest& guest, Gva address) {
    const auto symbols = guest.symbols();
    if (!symbols) return session.fail(symbols.error(), Phase::query);
    const auto nearest = (*symbols)->nearest(address);
    if (!nearest) {
        return session.fail(Error::with_text(Errc::not_found, Origin::symbols,
                                             fmt::format("no symbol lies at or below {:#x}", address.value),
                                             "vitrine symbols TARGET lists them all"),
                            Phase::query);
    }
    const std::vector<OutputColumn> columns{{"address", ColumnType::address}, {"name", ColumnType::text},
                                            {"offset", ColumnType::address},  {"symbol_address", ColumnType::address},
                                            {"type", ColumnType::text},       {"module", ColumnType::text}};
    const std::vector<Value> values{
        AddressValue{address.value},
        std::string(nearest->symbol.name),
        AddressValue{nearest->offset},
        AddressValue{nearest->symbol.address.value},
        std::string(1, nearest->symbol.type),
        nearest->symbol.module.empty() ? Value() : Value(std::string(nearest->symbol.module))};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    writer->row(values);
    writer->finish();
    return kExitOk;
}

int run(Session& session, const Arguments& arguments) {
    if (const auto address = arguments.number("--address")) {
        if (arguments.has("--name") || arguments.has("--module")) {
            return session.usage("--address asks for one symbol: it goes with neither --name nor --module");
        }
        auto guest = session.attach(arguments.text("TARGET"));
        return guest ? show_nearest(session, **guest, Gva{*address}) : guest.error();
    }
    std::vector<RowFilter> filters;
    if (arguments.has("--name")) filters.push_back({"name", std::string(arguments.text("--name"))});
    if (arguments.has("--module")) filters.push_back({"module", std::string(arguments.text("--module"))});
    return run_view(session, arguments, "symbols", std::move(filters));
}

}  // namespace

const Command kSymbolsCommand{
    .name = "symbols",
    .summary = "List or look up the kernel symbols of a guest",
    .description = "As in the guest's own /proc/kallsyms: of the kernel and of its modules, decoded from memory.",
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
