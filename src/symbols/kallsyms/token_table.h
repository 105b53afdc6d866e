// The 256 tokens that compressed names are made of (kallsyms_token_table, kallsyms_token_index).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/base/bytes.h"

namespace vitrine::kallsyms {

struct TokenTablePlace {
    std::uint64_t table = 0;  // offsets into the region
    std::uint64_t index = 0;
};

// The token table around an anchor. The index that follows must list exactly the starts of the strings, so a hit proves itself.
[[nodiscard]] std::optional<TokenTablePlace> locate_token_table(ByteView region, std::uint64_t anchor);

// A checked copy of the tokens.
class TokenTable {
public:
    [[nodiscard]] static std::optional<TokenTable> load(ByteView region, const TokenTablePlace& place);

    [[nodiscard]] std::string_view operator[](std::uint8_t code) const {
        return {text_.data() + starts_[code], lengths_[code]};
    }

    // Writes the expansion of `codes` (type letter and name) to out; nullopt when it is longer than kMaxExpandedLength, or uses a
    // code without a token: kernels have such codes, but no name with one.
    // out has room for kMaxExpandedLength + kSlack characters.
    static constexpr std::size_t kSlack = 16;
    [[nodiscard]] std::optional<std::size_t> expand(std::span<const std::uint8_t> codes, char* out) const;

private:
    std::array<std::uint32_t, 256> starts_{};
    std::array<std::uint16_t, 256> lengths_{};
    std::vector<char> text_;  // with kSlack readable bytes after the last token
};

}  // namespace vitrine::kallsyms
