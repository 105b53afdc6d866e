// A message of the machine protocol: where it ends, its JSON, and the members of that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "vitrine/base/result.h"

namespace vitrine {

// Finds where a message ends: -qmp writes one a line, -qmp-pretty spreads it over many. Also refuses deep nesting
// before the parser sees the text.
class MessageScanner {
public:
    enum class State : std::uint8_t { incomplete, complete, malformed };

    // Goes on where the last call ended; text only ever grows.
    State scan(std::string_view text);
    [[nodiscard]] std::size_t end() const { return at_; }

private:
    std::size_t at_ = 0;
    unsigned depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
};

// Parses one message. Never throws, never nests deeper than QmpClient::kMaxNesting. Errors: malformed, limit.
Result<nlohmann::json> parse_qmp_message(std::string_view text);

// Readers that do not throw: nullopt when the member is absent or of another type.
std::optional<std::string> json_string(const nlohmann::json& object, const char* key);
std::optional<std::uint64_t> json_unsigned(const nlohmann::json& object, const char* key);
std::optional<bool> json_bool(const nlohmann::json& object, const char* key);
// Null when absent.
const nlohmann::json* json_member(const nlohmann::json& object, const char* key);

}  // namespace vitrine
