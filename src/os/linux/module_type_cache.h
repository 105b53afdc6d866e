// Parsed types of modules, kept for as long as a module shows the very bytes they were parsed from. What is kept is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "os/linux/module_btf.h"
#include "os/linux/profile_hash.h"
#include "vitrine/types/catalog.h"

namespace vitrine::linux_os {

class ModuleTypeCache {
public:
    using Types = std::shared_ptr<const TypeCatalog>;
    static constexpr std::size_t kMostModules = 1024;
    static constexpr std::size_t kMostBytes = 64u << 20;

    explicit ModuleTypeCache(std::size_t most_bytes = kMostBytes);

    // What tells this blob from any other that the module may show.
    struct Print {
        std::string module;
        std::size_t size = 0;
        std::uint64_t hash = 0;  // keyed: no guest can make two blobs that share it, but by chance
        friend bool operator==(const Print&, const Print&) = default;
    };
    [[nodiscard]] Print print_of(const ModuleBtf& module) const;

    // Null when they are not known, or were parsed from other bytes.
    [[nodiscard]] Types find(const ModuleBtf& module, const Print& print) const;
    // Does nothing when there is no room.
    void keep(const ModuleBtf& module, Print print, Types types);
    // Forgets what is not listed any more.
    void forget_others(std::span<const ModuleBtf> listed);

    [[nodiscard]] std::size_t modules() const { return kept_.size(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
    struct Kept {
        Print print;
        Types types;
    };
    using Place = std::pair<std::uint64_t, std::uint64_t>;  // of the module, of its struct btf
    using Map = std::map<Place, Kept>;
    static Place place_of(const ModuleBtf& module) { return {module.module_address.value, module.btf_address.value}; }
    Map::iterator forget(Map::iterator at);

    std::size_t most_bytes_;
    KeyedHash empty_;  // of no bytes
    Map kept_;
    std::size_t bytes_ = 0;
};

}  // namespace vitrine::linux_os
