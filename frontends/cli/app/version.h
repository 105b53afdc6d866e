#pragma once

#include <string>
#include <string_view>

namespace vitrine::cli {

[[nodiscard]] std::string_view version();  // "0.1.0"
[[nodiscard]] std::string version_text();  // what --version prints

}  // namespace vitrine::cli
