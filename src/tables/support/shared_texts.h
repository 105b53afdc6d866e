// Texts that many rows share, by the number that they are made of: each is made once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "vitrine/base/function_ref.h"

namespace vitrine::tables {

class SharedTexts {
public:
    const std::string& of(std::uint64_t number, FunctionRef<std::string()> make) {
        const auto known = texts_.find(number);
        if (known != texts_.end()) return known->second;
        if (texts_.size() == kMost) texts_.clear();  // a hostile guest can make each another
        return texts_.emplace(number, make()).first->second;
    }

private:
    static constexpr std::size_t kMost = 256;
    std::unordered_map<std::uint64_t, std::string> texts_;
};

}  // namespace vitrine::tables
