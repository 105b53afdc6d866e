// Descriptions of made-up guests as text: lines `key = value`, # begins a comment.
//
//   levels = 5
//   kallsyms = C
//   damage = task_list_self_loop
//   expect.processes = cycle
//
// Keys are the members of GuestDescription and TypeOptions; `damage` may be repeated; `expect.*` is for the test that reads the file.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/synthetic_guest_damage.h"

namespace vitrine::test {

struct GuestText {
    GuestDescription guest;
    std::vector<std::string> damages;
    std::map<std::string, std::string> expect;

    [[nodiscard]] std::string expected(const std::string& key, const std::string& otherwise) const;
    [[nodiscard]] std::unique_ptr<SyntheticGuest> make() const;
    static const Damage& damage_named(const std::string& name);
};

// Throws std::runtime_error with the line that is wrong.
GuestText parse_guest_text(const std::string& text);

GuestText load_guest_text(const std::filesystem::path& path);

}  // namespace vitrine::test
