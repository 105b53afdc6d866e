// pahole as an oracle: its text of a structure is compared with ours.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace vitrine::test {

// Every "offset size" comment, in order.
inline std::vector<std::string> layout_comments(const std::string& text) {
    std::vector<std::string> found;
    for (std::size_t at = 0; (at = text.find("/* ", at)) != std::string::npos; ++at) {
        unsigned offset = 0, bit = 0, size = 0;
        const char* from = text.c_str() + at;
        if (std::sscanf(from, "/* %u:%u %u */", &offset, &bit, &size) == 3) {
            found.push_back(std::to_string(offset) + ":" + std::to_string(bit) + " " + std::to_string(size));
        } else if (std::sscanf(from, "/* %u %u */", &offset, &size) == 2) {
            found.push_back(std::to_string(offset) + " " + std::to_string(size));
        }
    }
    return found;
}

inline std::string output_of(const std::string& command) {
    std::string text;
    std::FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return text;
    char chunk[4096];
    while (const std::size_t got = std::fread(chunk, 1, sizeof chunk, pipe)) text.append(chunk, got);
    ::pclose(pipe);
    return text;
}

}  // namespace vitrine::test
