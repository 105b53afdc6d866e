// Guest's typed access.
#include "vitrine/guest/guest.h"

namespace vitrine {

Result<Object> Guest::object(std::string_view type, Gva address) {
    const TypeCatalog* catalog = VITRINE_TRY(types());
    return Object(*space_, *catalog, VITRINE_TRY(catalog->find(type)), address);
}

Result<Object> Guest::variable(std::string_view symbol, std::string_view type) {
    const SymbolTable* table = VITRINE_TRY(symbols());
    return object(type, VITRINE_TRY(table->by_name(symbol)).address);
}

}  // namespace vitrine
