#include "symbols/kallsyms/token_table.h"

#include <cstring>

#include "symbols/kallsyms/limits.h"

namespace vitrine::kallsyms {
namespace {

constexpr std::size_t kFirstDigit = '0';
constexpr std::size_t kMaxIndexAlignment = 16;

// Every start but the first follows a NUL, no string holds one, and starts rise: the index is that of this table.
bool index_fits(ByteView region, const TokenTablePlace& place) {
    std::uint64_t start = 0;
    for (std::size_t code = 0; code < kTokens; ++code) {
        if (start > UINT16_MAX || region.u16(place.index + code * 2) != static_cast<std::uint16_t>(start)) return false;
        const auto token = region.c_string(place.table + start, kMaxTokenLength + 1);
        if (!token) return false;
        start += token->size() + 1;
    }
    return place.table + start <= place.index;
}

}  // namespace

std::optional<TokenTablePlace> locate_token_table(ByteView region, std::uint64_t anchor) {
    std::uint64_t end = anchor;
    for (std::size_t code = kFirstDigit; code < kTokens; ++code) {
        const auto token = region.c_string(end, kMaxTokenLength + 1);
        if (!token) return std::nullopt;
        end += token->size() + 1;
    }
    for (std::uint64_t index = end; index < end + kMaxIndexAlignment; ++index) {
        const auto first = region.u16(index);
        const auto digits = region.u16(index + kFirstDigit * 2);
        if (!first || !digits) return std::nullopt;
        if (*first != 0 || *digits < kFirstDigit || *digits > anchor) continue;
        const TokenTablePlace place{anchor - *digits, index};
        if (index_fits(region, place)) return place;
    }
    return std::nullopt;
}

std::optional<TokenTable> TokenTable::load(ByteView region, const TokenTablePlace& place) {
    TokenTable table;
    for (std::size_t code = 0; code < kTokens; ++code) {
        const auto start = region.u16(place.index + code * 2);
        if (!start) return std::nullopt;
        const auto token = region.c_string(place.table + *start, kMaxTokenLength + 1);
        if (!token) return std::nullopt;
        table.starts_[code] = static_cast<std::uint32_t>(table.text_.size());
        table.lengths_[code] = static_cast<std::uint16_t>(token->size());
        table.text_.insert(table.text_.end(), token->begin(), token->end());
    }
    table.text_.resize(table.text_.size() + kSlack);
    return table;
}

std::optional<std::size_t> TokenTable::expand(std::span<const std::uint8_t> codes, char* out) const {
    std::size_t length = 0;
    for (const std::uint8_t code : codes) {
        const std::size_t token = lengths_[code];
        if (token == 0 || length + token > kMaxExpandedLength) return std::nullopt;
        const char* from = text_.data() + starts_[code];
        // Nearly all tokens are short: a copy of fixed size is one load and one store, and the slack takes what is too much.
        if (token <= kSlack) {
            std::memcpy(out + length, from, kSlack);
        } else {
            std::memcpy(out + length, from, token);
        }
        length += token;
    }
    return length;
}

}  // namespace vitrine::kallsyms
