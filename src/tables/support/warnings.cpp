#include "tables/support/warnings.h"

#include <fmt/format.h>

namespace vitrine::tables {

void Warnings::tell(std::string text, Gva address) {
    constexpr unsigned kMost = 1000;
    if (told_ > kMost) return;
    if (told_++ == kMost) text = fmt::format("more than {} such messages: no more are given", kMost);
    sink_.diagnostic({Severity::warning, std::string(table_), std::move(text), address.value, {}});
}

}  // namespace vitrine::tables
