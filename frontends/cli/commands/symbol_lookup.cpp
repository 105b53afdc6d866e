#include "commands/symbol_lookup.h"

#include <fmt/format.h>

namespace vitrine::cli {
namespace {

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

}  // namespace

int look_up_symbol(Session& session, const Arguments& arguments) {
    if (arguments.has("--name") || arguments.has("--module")) {
        return session.usage("--address asks for one symbol: it goes with neither --name nor --module");
    }
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    return show_nearest(session, **guest, Gva{arguments.number("--address").value_or(0)});
}

}  // namespace vitrine::cli
