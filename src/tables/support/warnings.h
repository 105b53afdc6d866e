// What a table warns of.
#pragma once

#include <string>
#include <string_view>

#include "vitrine/base/address.h"
#include "vitrine/query/table.h"

namespace vitrine::tables {

// At most 1,000 warnings of one table: a hostile guest can make every row worth one.
class Warnings {
public:
    Warnings(RowSink& sink, std::string_view table) : sink_(sink), table_(table) {}
    void tell(std::string text, Gva address = {});

private:
    RowSink& sink_;
    std::string_view table_;
    unsigned told_ = 0;
};

}  // namespace vitrine::tables
